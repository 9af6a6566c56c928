"""The text format of one-time tokens. A token names its user, and is invalid if any character is changed."""

from atrium.audit.masking import mask_text
from atrium.identity.users.one_time_token import TEXT_MAX, OneTimeToken, mint_one_time_token, parse_one_time_token
from atrium.kernel.ids import TenantId, UserId
from atrium.storage.secrets import Pepper
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.gateway import TENANT_ID
from tests.builders.runtimes import NOON

USER = UserId("usr_01k6r5m2x8f3v9q4w7t1y0z5af")
PEPPER = Pepper(1, b"p" * 32)


def mint() -> tuple[str, OneTimeToken]:
    return mint_one_time_token("dev", PEPPER, user_id=USER, tenant_id=TenantId(TENANT_ID), purpose="reset", now=NOON)


def test_names_its_user_and_verifies() -> None:
    text, one_time_token = mint()
    said = parse_one_time_token(text, "dev")
    assert said is not None
    assert (said.user_id, said.tenant_id) == (USER, TENANT_ID)
    assert said.digest(PEPPER.value) == one_time_token.digest
    assert said.digest(b"q" * 32) != one_time_token.digest
    assert len(text) <= TEXT_MAX
    assert mint()[0] != text


def test_is_masked_in_texts_and_repr() -> None:
    text, one_time_token = mint()
    assert mask_text(f"use {text} now") == "use [API_KEY] now"
    assert str(one_time_token.digest) not in repr(one_time_token)


@given(at=st.integers(0, 200), letter=st.sampled_from("0aZ_-#"))
def test_rejects_any_changed_character(at: int, letter: str) -> None:
    text, _ = mint()
    at %= len(text)
    changed = text[:at] + letter + text[at + 1 :]
    assert changed == text or parse_one_time_token(changed, "dev") is None


@given(st.text(max_size=TEXT_MAX))
def test_rejects_other_texts(text: str) -> None:
    assert parse_one_time_token(text, "dev") is None
    assert parse_one_time_token("atr_once_" + text, "dev") is None


def test_rejects_a_token_of_another_environment() -> None:
    text, _ = mint()
    assert parse_one_time_token(text, "prod") is None
