"""Masking: which values are masked, and which remain readable. Masking is fast and idempotent for any text."""

import json
import string

import pytest
from atrium.audit.masking import TOO_DEEP, mask, mask_text
from hypothesis import given
from hypothesis import strategies as st

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
SEPARATORS = st.sampled_from(["", " ", "-"])


def with_luhn(digits: str) -> str:
    """Return the digits followed by their Luhn check digit, which is computed independently of the tested code."""
    for check in "0123456789":
        total = 0
        for position, digit in enumerate(reversed(digits + check)):
            value = int(digit) * (1 + position % 2)
            total += value - 9 if value > 9 else value
        if total % 10 == 0:
            return digits + check
    raise AssertionError


def identity(seventeen: str) -> str:
    return (
        seventeen
        + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(seventeen, WEIGHTS, strict=True)) % 11]
    )


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("pay 4111 1111 1111 1111 now", "pay [CARD_NUMBER] now"),
        ("4111-1111-1111-1112", "[CARD_NUMBER]"),  # the Luhn check fails, but the format is sufficient
        ("a4111-1111-1111-1112x", "a[CARD_NUMBER]x"),
        ("card4111111111111111x", "card[CARD_NUMBER]x"),
        ("3782 822463 10005", "[CARD_NUMBER]"),
        ("6222021234567890128", "[CARD_NUMBER]"),
        ("４１１１１１１１１１１１１１１１", "[CARD_NUMBER]"),
        ("13800138000", "[PHONE]"),
        ("+86 138-0013-8000", "[PHONE]"),
        ("008613800138000", "[PHONE]"),
        ("(555) 123-4567", "[PHONE]"),
        ("1-800-555-1234", "[PHONE]"),
        ("+49 30 1234567", "[PHONE]"),
        ("555.123.4567", "[PHONE]"),
        ("+33 1 23 45 67 89", "[PHONE]"),
        ("010-12345678", "[PHONE]"),
        ("身份证11010519491231002X。", "身份证[ID_CARD]。"),
        ("11010519491231002x", "[ID_CARD]"),
        ("110105 19491231 002X", "[ID_CARD]"),
        ("123-45-6789", "[ID_CARD]"),
        ("write to ann.lee+x@mail.example.com.", "write to [EMAIL]."),
        ("用户@例子.公司", "[EMAIL]"),
        ("?key=atr_dev_7kjhdskjfhdskjfhskdjfh&x=1", "?key=[API_KEY]&x=1"),
        ("sk-ant-api03-abcdefghijkl", "[API_KEY]"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "[API_KEY]"),
        ("Authorization: Bearer abcdefghijk", "Authorization: Bearer [API_KEY]"),
        ("13800138000 4111111111111111 12", "[PHONE] [CARD_NUMBER] 12"),
    ],
)
def test_masks_personal_data(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T08:50:47.123Z",
        "1763715047123",  # milliseconds
        "1763715047123456",
        "550e8400-e29b-41d4-a716-446655440000",
        "ses_01k6r5m2x8f3v9q4w7t1y0z5af",
        "10.0.0.1 and 192.168.100.200",
        "3.14159265358979323846",
        "3.14159265358973",  # its digits pass the Luhn check
        "4111111111111112",  # the Luhn check fails, and there are no groups
        "110105194912310021",  # the check character is wrong
        "12800138000",
        "atr_requests_total is a metric, ask-me-anything is not a key",
        "me@home, @someone, 5 @ 3",
        "risk-free, a desk-bound job",
    ],
)
def test_keeps_other_text(text: str) -> None:
    assert mask_text(text) == text


@given(st.text("23456789", min_size=1, max_size=1), st.text(string.digits, min_size=13, max_size=17), SEPARATORS)
def test_every_card_is_masked(first: str, rest: str, separator: str) -> None:
    number = with_luhn(first + rest)
    grouped = separator.join(number[at : at + 4] for at in range(0, len(number), 4))
    assert not any(letter.isdigit() for letter in mask_text(f"card {grouped}, thanks"))


@given(st.text(string.digits, min_size=17, max_size=17))
def test_every_identity_number_is_masked(seventeen: str) -> None:
    assert mask_text(f"id:{identity(seventeen)};") == "id:[ID_CARD];"


@given(st.sampled_from("3456789"), st.text(string.digits, min_size=9, max_size=9), st.sampled_from(["", "+86", "86 "]))
def test_every_mobile_number_is_masked(second: str, rest: str, before: str) -> None:
    assert mask_text(f"tel {before}1{second}{rest} ok") == "tel [PHONE] ok"


@given(st.text(st.sampled_from("0123456789 -+().@xXaeyJ_.sk-tr\u00a0"), max_size=80) | st.text(max_size=80))
def test_masking_is_idempotent(text: str) -> None:
    once = mask_text(text)
    assert mask_text(once) == once


@pytest.mark.parametrize(
    "piece",
    ["1", "1 ", "12-", "a@", "a.a", "4111 ", "eyJaaaa.", "(1", "sk-", "+1)", "atr_a", "bearer ", "123456789x ", ") ("],
)
def test_masks_long_near_matches_in_time(piece: str) -> None:
    """A pattern with backtracking would greatly exceed the time limit of the test."""
    text = piece * (300_000 // len(piece))
    assert mask_text(text + "!").endswith("!")


def test_masks_values_of_all_json_types() -> None:
    found = mask(
        {
            "card": 4111111111111111,
            "count": 12,
            "share": 0.5,
            "none": None,
            "yes": True,
            "list": ["13800138000", {"mail": "a@b.co"}],
            "Password": "hunter2",
            "token": 7,
            "a@b.co": "name",
        }
    )
    assert found == {
        "card": "[CARD_NUMBER]",
        "count": 12,
        "share": 0.5,
        "none": None,
        "yes": True,
        "list": ["[PHONE]", {"mail": "[EMAIL]"}],
        "Password": "[API_KEY]",
        "token": 7,
        "[EMAIL]": "name",
    }


def test_bounds_the_depth_of_values() -> None:
    value: object = "13800138000"
    for _ in range(5_000):
        value = [value]
    text = json.dumps(mask(value))
    assert TOO_DEEP in text
    assert "138" not in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_masked_values_are_json_and_stable(value: object) -> None:
    once = mask(value)
    assert json.loads(json.dumps(once)) == once
    assert mask(once) == once
