"""The login throttles of a tenant do not depend on another tenant that has a user with the same email."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from random import Random
from typing import Any

import pytest
from argon2 import PasswordHasher

from tests.builders.deployments import PASSWORD
from tests.builders.login_env import HERE, THERE, LoginEnv

EMAIL, WRONG, OTHERS = "ann@b.example", "not the password", "the attacker's password"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GUESSES_MAX = 10  # per minute, from one IP address, in one tenant

# All actions of an attacker who has an account with this email in another tenant.
STEPS: dict[str, dict[str, Any]] = {
    "guess, named": {"tenant": "acme", "password": WRONG},
    "guess, not named": {"password": WRONG},
    "guess in the own tenant": {"tenant": "evil", "password": WRONG},
    "log in to the own tenant": {"tenant": "evil", "password": OTHERS},
    "log in, not named": {"password": OTHERS},
}


def attack(login_env: LoginEnv) -> None:
    """Create the victim in the tenant `acme`, and a user of the attacker with the same email in the tenant `evil`."""
    login_env.add_user(email=EMAIL, password_hash=CHEAP.hash(PASSWORD))
    login_env.add_user(login_env.deployment.onboard("evil"), EMAIL, password_hash=CHEAP.hash(OTHERS))


@contextmanager
def judging(login_env: LoginEnv, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Yield the times at which a password was compared with the victim's hash, in seconds since 1970."""
    hashing: Any = import_module("argon2._password_hasher")
    victim = login_env.users().find(EMAIL)
    assert victim is not None
    judged: list[float] = []
    verify = hashing.verify_secret

    def note(kept: bytes, *arguments: Any, **named: Any) -> Any:
        if kept == victim.password_hash.encode():
            judged.append(login_env.deployment.clock().timestamp())
        return verify(kept, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(hashing, "verify_secret", note)
        patch.setattr("atrium.identity.users.passwords._HASHER", CHEAP)
        patch.setattr("atrium.identity.login.candidates.DECOY_HASH", CHEAP.hash("unused"))
        yield judged


def most_in_a_minute(moments: list[float]) -> int:
    return max((sum(begin <= each < begin + 60 for each in moments) for begin in moments), default=0)


def test_an_attacker_with_a_tenant_of_their_own(login_env: LoginEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    attack(login_env)
    with judging(login_env, monkeypatch) as judged:
        for _ in range(25):
            for body in STEPS.values():
                login_env.log_in(EMAIL, **body)
            login_env.deployment.clock.advance(4)
    assert 5 <= most_in_a_minute(judged) <= GUESSES_MAX


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_steps(login_env: LoginEnv, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    attack(login_env)
    chance = Random(seed)
    with judging(login_env, monkeypatch) as judged:
        for _ in range(50):
            login_env.log_in(EMAIL, **STEPS[chance.choice(sorted(STEPS))])
            login_env.deployment.clock.advance(chance.choice([0, 0, 1, 20]))
    assert most_in_a_minute(judged) <= GUESSES_MAX


def test_failures_in_one_tenant_do_not_delay_another_tenant(login_env: LoginEnv) -> None:
    attack(login_env)
    for at in range(25):
        login_env.log_in(EMAIL, WRONG, tenant="evil", ip=f"192.0.2.{at}")
        login_env.log_in(EMAIL, WRONG, tenant="evil", ip=HERE)
    assert login_env.log_in(EMAIL, PASSWORD, tenant="acme", ip=HERE).status_code == 200
    login_env.deployment.clock.advance(60)
    assert login_env.log_in(EMAIL, PASSWORD, ip=THERE).status_code == 200


def test_an_address_that_one_tenant_knows_is_unknown_to_another(login_env: LoginEnv) -> None:
    attack(login_env)
    assert login_env.log_in(EMAIL, OTHERS, tenant="evil", ip=THERE).status_code == 200
    for at in range(20):
        assert login_env.log_in(EMAIL, WRONG, tenant="acme", ip=f"192.0.2.{at}").status_code == 401
    assert login_env.log_in(EMAIL, PASSWORD, tenant="acme", ip=THERE).status_code == 429


def test_a_success_clears_what_its_own_tenant_counted(login_env: LoginEnv) -> None:
    attack(login_env)
    for _ in range(3):
        for _ in range(4):
            assert login_env.log_in(EMAIL, WRONG, tenant="evil").status_code == 401
        assert login_env.log_in(EMAIL, OTHERS, tenant="evil").status_code == 200
        login_env.deployment.clock.advance(10)


def test_someone_with_one_account_is_not_delayed_by_old_failures(login_env: LoginEnv) -> None:
    login_env.add_user(email=EMAIL)
    for _ in range(3):
        for _ in range(4):
            assert login_env.log_in(EMAIL, WRONG).status_code == 401
        assert login_env.log_in(EMAIL, PASSWORD).status_code == 200


def test_someone_with_two_accounts_reaches_one_while_the_other_waits(login_env: LoginEnv) -> None:
    attack(login_env)
    for _ in range(5):
        assert login_env.log_in(EMAIL, WRONG).status_code == 401
    assert login_env.log_in(EMAIL, PASSWORD).status_code == 429
    login_env.deployment.clock.advance(60)
    assert login_env.log_in(EMAIL, PASSWORD).json()["tenant"]["name"] == "acme"
    waiting = login_env.log_in(EMAIL, OTHERS)  # for the other account, the previous login was a failed attempt
    assert (waiting.status_code, waiting.headers["retry-after"]) == (429, "120")


@pytest.mark.parametrize("order", ["named first", "not named first", "mixed"])
def test_the_answers_do_not_tell_who_exists(login_env: LoginEnv, order: str) -> None:
    """Attempts for an existing email and for an unknown email return the same statuses and delays."""
    login_env.add_user(email=EMAIL)
    named: list[dict[str, str]] = [{"tenant": "acme"}] * 6
    without: list[dict[str, str]] = [{}] * 6
    steps: list[dict[str, str]] = {
        "named first": named + without,
        "not named first": without + named,
        "mixed": [each for pair in zip(named, without, strict=True) for each in pair],
    }[order]
    found = []
    for at, email in enumerate((EMAIL, "unknown@b.example")):
        answers = [login_env.log_in(email, WRONG, ip=f"192.0.2.{at}", **body) for body in steps]
        found.append([(answer.status_code, answer.headers.get("retry-after")) for answer in answers])
    assert found[0] == found[1]


def test_the_answers_do_not_tell_an_attacker_with_a_tenant_whether_a_user_exists_in_another(
    login_env: LoginEnv,
) -> None:
    """A login that names a tenant reveals nothing about the counters of logins without a tenant."""
    evil = login_env.deployment.onboard("evil")
    login_env.add_user(email=EMAIL)
    found = []
    for at, email in enumerate((EMAIL, "unknown@b.example")):
        login_env.add_user(evil, email, password_hash=CHEAP.hash(OTHERS))
        own, ip = {"password": OTHERS, "tenant": "evil"}, f"192.0.2.{at}"
        steps: list[dict[str, str]] = [*[{"password": WRONG}] * 5, own, *[{"password": WRONG, "tenant": "acme"}] * 6]
        answers = [login_env.log_in(email, ip=ip, **body) for body in steps]
        found.append([(answer.status_code, answer.headers.get("retry-after")) for answer in answers])
    assert found[0] == found[1]
