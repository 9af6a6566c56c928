"""The text format of API keys, and the typing errors that its checksum detects."""

import string
from datetime import UTC, datetime

import pytest
from atrium.identity.key_format import looks_like_key, mint_key, parse_key, show_prefix
from atrium.kernel.crypto import decode_base62, encode_base62
from atrium.kernel.ids import KeyId, TenantId, mint_key_id, mint_tenant_id
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 21, tzinfo=UTC)
KEY_ID = KeyId("key_01k6r5m2x8f3v9q4w7t1y0z5ad")
TENANT_ID = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ab")
BASE62 = string.digits + string.ascii_letters


def test_a_key_names_its_tenant_and_id() -> None:
    text, said = mint_key("dev", KEY_ID, TENANT_ID)
    assert text.startswith("atr_dev_")
    assert len(text) == len("atr_dev_") + 82
    read = parse_key(text, "dev")
    assert read == said
    assert read is not None
    assert (read.key_id, read.tenant_id) == (KEY_ID, TENANT_ID)


def test_a_platform_key_has_no_tenant() -> None:
    text, _ = mint_key("prod", KEY_ID, None)
    read = parse_key(text, "prod")
    assert read is not None
    assert read.tenant_id is None


def test_two_keys_differ_only_in_their_secret() -> None:
    (first, one), (second, two) = mint_key("dev", KEY_ID, TENANT_ID), mint_key("dev", KEY_ID, TENANT_ID)
    assert first != second
    assert one.digest(b"p" * 32) != two.digest(b"p" * 32)
    assert one.digest(b"p" * 32) != one.digest(b"q" * 32)


def test_rejects_any_changed_character() -> None:
    text, _ = mint_key("dev", KEY_ID, TENANT_ID)
    for at in range(len(text)):
        for letter in BASE62 + "_-":
            if letter != text[at]:
                assert parse_key(text[:at] + letter + text[at + 1 :], "dev") is None


def test_rejects_swapped_characters() -> None:
    text, _ = mint_key("dev", KEY_ID, TENANT_ID)
    for at in range(len(text) - 1):
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        assert swapped == text or parse_key(swapped, "dev") is None


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_rejects_a_key_of_another_environment(environment: str) -> None:
    text, _ = mint_key("dev", KEY_ID, TENANT_ID)
    assert parse_key(text, environment) is None  # type: ignore[arg-type]  # any text
    assert parse_key(text.replace("dev", environment), environment) is None  # type: ignore[arg-type]  # any text


@pytest.mark.parametrize(
    "change", [lambda text: text + "0", lambda text: text[:-1], lambda text: " " + text, str.upper]
)
def test_rejects_other_formats(change: object) -> None:
    text, _ = mint_key("dev", KEY_ID, TENANT_ID)
    assert callable(change)
    assert parse_key(change(text), "dev") is None


@given(st.text(max_size=200))
def test_parses_or_rejects_any_text(text: str) -> None:
    assert parse_key(text, "dev") is None
    assert parse_key("atr_dev_" + text, "dev") is None


@given(st.binary(min_size=61, max_size=61))
def test_rejects_a_wrong_checksum(raw: bytes) -> None:
    body = encode_base62(raw)
    assert decode_base62(body, 61) == raw
    assert parse_key("atr_dev_" + body, "dev") is None


def test_the_prefix_identifies_a_key_without_its_secret() -> None:
    tenant_id = mint_tenant_id(NOW)
    key_id = mint_key_id(NOW)
    prefixes = {show_prefix(mint_key("dev", mint_key_id(NOW), tenant_id)[0]) for _ in range(50)}
    assert len(prefixes) == 50
    assert len({show_prefix(mint_key("dev", key_id, tenant_id)[0]) for _ in range(50)}) == 1


def test_repr_does_not_show_the_secret() -> None:
    text, said = mint_key("dev", KEY_ID, TENANT_ID)
    assert said.proof.hex() not in repr(said)
    assert str(said.proof) not in repr(said)
    assert looks_like_key(text)
    assert not looks_like_key("eyJhbGciOiJFUzI1NiJ9.e30.c2ln")
