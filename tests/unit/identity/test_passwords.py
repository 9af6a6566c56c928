"""Passwords and email addresses: which are accepted, and how passwords are stored."""

import pytest
from atrium.identity.users.model import read_email, same_address
from atrium.identity.users.passwords import (
    DECOY_HASH,
    find_password_fault,
    hash_password,
    must_be_rehashed,
    verify_password,
)

from tests.builders.login_env import counting_hashes


def test_an_argon2id_hash_matches_only_its_password() -> None:
    kept = hash_password("correct horse")
    assert kept.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert "correct" not in kept
    assert hash_password("correct horse") != kept
    assert verify_password("correct horse", kept)
    assert not verify_password("correct horsf", kept)
    assert not verify_password("", kept)


def test_normalizes_unicode() -> None:
    assert verify_password("u\u0308ber-all", hash_password("\u00fcber-all"))


@pytest.mark.parametrize("kept", ["", "nonsense", "$argon2id$v=19$m=1$x", "$2b$12$abcdefghijklmnopqrstuv"])
def test_an_invalid_hash_matches_no_password(kept: str) -> None:
    assert not verify_password("correct horse", kept)


def test_the_decoy_hash_has_current_parameters_and_matches_nothing() -> None:
    with counting_hashes() as count:
        assert not verify_password("correct horse", DECOY_HASH)
    assert count.verified == 1
    assert not must_be_rehashed(DECOY_HASH)
    assert must_be_rehashed(DECOY_HASH.replace("m=47104", "m=8192"))


@pytest.mark.parametrize("password", ["eight888", "p" * 128, "测试密码很长很好", "with spaces in it"])
def test_accepts_passwords(password: str) -> None:
    assert find_password_fault(password, email="a@b.example") is None


@pytest.mark.parametrize(
    ("password", "email"),
    [
        ("", "a@b.example"),
        ("seven77", "a@b.example"),
        ("p" * 129, "a@b.example"),
        ("Someone@B.example", "someone@b.example"),
        ("some-one-else", "Some-One-Else@b.example"),
    ],
)
def test_rejects_passwords(password: str, email: str) -> None:
    fault = find_password_fault(password, email=email)
    assert fault is not None
    assert not password or password not in fault


@pytest.mark.parametrize(
    "email", ["a@b", "a.b+c@d-e.example", "A@B.Example", "o'neil@x.example", "a" * 64 + "@b.example"]
)
def test_accepts_email_addresses(email: str) -> None:
    assert read_email(f" {email}\n") == email
    assert same_address(email) == same_address(email.upper())


@pytest.mark.parametrize(
    "email",
    [
        *("", "a", "a@", "@b", "a b@c.example", "a@b..c", "a@-b.example", "a@b.exam\nple", "a@@b"),
        "a" * 65 + "@b.example",
        "a@" + "b." * 130 + "example",
    ],
)
def test_rejects_invalid_email_addresses(email: str) -> None:
    assert read_email(email) == ""
