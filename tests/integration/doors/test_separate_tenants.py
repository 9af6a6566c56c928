"""The login throttles of one tenant, whatever happens at another one in which the same email exists."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from random import Random
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.builders.deployments import PASSWORD
from tests.builders.doors import HERE, THERE, Street

EMAIL, WRONG, OTHERS = "ann@b.example", "not the password", "the attacker's password"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GUESSES_MAX = 10  # in a minute, from one address, at one tenant

# Everything that an attacker can do who has an account of this email in a tenant of their own.
STEPS: dict[str, dict[str, Any]] = {
    "guess, named": {"tenant": "acme", "password": WRONG},
    "guess, not named": {"password": WRONG},
    "guess in the own tenant": {"tenant": "evil", "password": WRONG},
    "log in to the own tenant": {"tenant": "evil", "password": OTHERS},
    "log in, not named": {"password": OTHERS},
}


def attack(street: Street) -> None:
    """Make the victim in the tenant acme, and the attacker's user of the same email in the tenant evil."""
    street.add_user(email=EMAIL, password_hash=CHEAP.hash(PASSWORD))
    street.add_user(street.deployment.onboard("evil"), EMAIL, password_hash=CHEAP.hash(OTHERS))


@contextmanager
def judging(street: Street, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Note when a password is compared with the victim's hash."""
    hashing: Any = import_module("argon2._password_hasher")
    victim = street.users().find(EMAIL)
    assert victim is not None
    judged: list[float] = []
    verify = hashing.verify_secret

    def note(kept: bytes, *arguments: Any, **named: Any) -> Any:
        if kept == victim.password_hash.encode():
            judged.append(street.deployment.clock().timestamp())
        return verify(kept, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(hashing, "verify_secret", note)
        patch.setattr("atrium.identity.users.passwords._HASHER", CHEAP)
        patch.setattr("atrium.identity.doors.candidates.DECOY_HASH", CHEAP.hash("nobody's"))
        yield judged


def most_in_a_minute(moments: list[float]) -> int:
    return max((sum(begin <= each < begin + 60 for each in moments) for begin in moments), default=0)


def test_an_attacker_with_a_tenant_of_their_own(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    attack(street)
    with judging(street, monkeypatch) as judged:
        for _ in range(25):
            for body in STEPS.values():
                street.log_in(EMAIL, **body)
            street.deployment.clock.turn(4)
    assert 5 <= most_in_a_minute(judged) <= GUESSES_MAX


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_steps(street: Street, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    attack(street)
    chance = Random(seed)
    with judging(street, monkeypatch) as judged:
        for _ in range(50):
            street.log_in(EMAIL, **STEPS[chance.choice(sorted(STEPS))])
            street.deployment.clock.turn(chance.choice([0, 0, 1, 20]))
    assert most_in_a_minute(judged) <= GUESSES_MAX


def test_failures_in_one_tenant_delay_nobody_in_another(street: Street) -> None:
    attack(street)
    for at in range(25):
        street.log_in(EMAIL, WRONG, tenant="evil", ip=f"192.0.2.{at}")
        street.log_in(EMAIL, WRONG, tenant="evil", ip=HERE)
    assert street.log_in(EMAIL, PASSWORD, tenant="acme", ip=HERE).status_code == 200
    street.deployment.clock.turn(60)
    assert street.log_in(EMAIL, PASSWORD, ip=THERE).status_code == 200


def test_an_address_that_one_tenant_knows_is_unknown_to_another(street: Street) -> None:
    attack(street)
    assert street.log_in(EMAIL, OTHERS, tenant="evil", ip=THERE).status_code == 200
    for at in range(20):
        assert street.log_in(EMAIL, WRONG, tenant="acme", ip=f"192.0.2.{at}").status_code == 401
    assert street.log_in(EMAIL, PASSWORD, tenant="acme", ip=THERE).status_code == 429


def test_a_success_clears_what_its_own_tenant_counted(street: Street) -> None:
    attack(street)
    for _ in range(3):
        for _ in range(4):
            assert street.log_in(EMAIL, WRONG, tenant="evil").status_code == 401
        assert street.log_in(EMAIL, OTHERS, tenant="evil").status_code == 200
        street.deployment.clock.turn(10)


def test_someone_with_one_account_is_not_delayed_by_old_failures(street: Street) -> None:
    street.add_user(email=EMAIL)
    for _ in range(3):
        for _ in range(4):
            assert street.log_in(EMAIL, WRONG).status_code == 401
        assert street.log_in(EMAIL, PASSWORD).status_code == 200


def test_someone_with_two_accounts_reaches_one_while_the_other_waits(street: Street) -> None:
    attack(street)
    for _ in range(5):
        assert street.log_in(EMAIL, WRONG).status_code == 401
    assert street.log_in(EMAIL, PASSWORD).status_code == 429
    street.deployment.clock.turn(60)
    assert street.log_in(EMAIL, PASSWORD).json()["tenant"]["name"] == "acme"
    waiting = street.log_in(EMAIL, OTHERS)  # the other account failed again: it has to wait, and says so
    assert (waiting.status_code, waiting.headers["retry-after"]) == (429, "120")


@pytest.mark.parametrize("order", ["named first", "not named first", "mixed"])
def test_the_answers_do_not_tell_who_exists(street: Street, order: str) -> None:
    """Guesses at a user and at an unknown email get the same answers, with and without a tenant."""
    street.add_user(email=EMAIL)
    named: list[dict[str, str]] = [{"tenant": "acme"}] * 6
    without: list[dict[str, str]] = [{}] * 6
    steps: list[dict[str, str]] = {
        "named first": named + without,
        "not named first": without + named,
        "mixed": [each for pair in zip(named, without, strict=True) for each in pair],
    }[order]
    found = []
    for at, email in enumerate((EMAIL, "nobody@b.example")):
        answers = [street.log_in(email, WRONG, ip=f"192.0.2.{at}", **body) for body in steps]
        found.append([(answer.status_code, answer.headers.get("retry-after")) for answer in answers])
    assert found[0] == found[1]


def test_the_answers_do_not_tell_an_attacker_with_a_tenant_whether_a_user_exists_in_another(street: Street) -> None:
    """The named login of a tenant shows nothing of what a login without a tenant counted there."""
    evil = street.deployment.onboard("evil")
    street.add_user(email=EMAIL)
    found = []
    for at, email in enumerate((EMAIL, "nobody@b.example")):
        street.add_user(evil, email, password_hash=CHEAP.hash(OTHERS))
        own, ip = {"password": OTHERS, "tenant": "evil"}, f"192.0.2.{at}"
        steps: list[dict[str, str]] = [*[{"password": WRONG}] * 5, own, *[{"password": WRONG, "tenant": "acme"}] * 6]
        answers = [street.log_in(email, ip=ip, **body) for body in steps]
        found.append([(answer.status_code, answer.headers.get("retry-after")) for answer in answers])
    assert found[0] == found[1]
