"""Names and titles: invisible characters are rejected or removed, and combined characters are not split."""

import unicodedata

import pytest
from atrium.kernel.texts import clean, cut, find_fault
from hypothesis import given
from hypothesis import strategies as st

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
NAMES = [
    "Ann", "Ann O'Neil-Smith", "Ægir Þór", "李小龍", "田中　太郎", "علی‌رضا", "क्‍ष", "മോഹന്‍", "葛\U000e0100城",
    "👍🏽 ok", "❤️", "❤️‍🔥", FAMILY, "🇩🇪🇫🇷", "e\u0301 Cafe\u0301", "한국", "a  b", "50 % #1 <b>",
]  # fmt: skip
UNSEEN = [
    "\u0000", "\u0007", "\n", "\t", "\u007f", "\u0085", "\u00ad", "\u034f", "\u061c", "\u115f", "\u17b4", "\u180e",
    "\u200b", "\u200e", "\u200f", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\u2028", "\u2029", "\u206a",
    "\u2800", "\u3164", "\ufe00", "\ufeff", "\uffa0", "\ufff9", "\uffff", "\U000e0001", "\U000e0041", "\U000e0200",
    "\ue000", "\ud800", "\u2003",
]  # fmt: skip
TEXTS = st.text(
    st.characters() | st.sampled_from([*"ab 🏽é한", "\u200d", "\u200c", "\ufe0f", "\u0301", *"🇩🇪", *UNSEEN])
)


@pytest.mark.parametrize("name", NAMES)
def test_keeps_names_of_persons_whole(name: str) -> None:
    assert find_fault(name) is None
    assert unicodedata.normalize("NFC", clean(name, 100)) == " ".join(unicodedata.normalize("NFC", name).split())


@pytest.mark.parametrize("char", UNSEEN, ids=lambda char: f"U+{ord(char):04X}")
def test_rejects_and_removes_invisible_characters(char: str) -> None:
    for text in (char, f"a{char}b", f"{char}ab", f"ab{char}"):
        assert find_fault(text) is not None
        assert char not in clean(text, 100)


@pytest.mark.parametrize(
    "text",
    ["a\u200d", "\u200da", "a \u200db", "a\u200d b", "a\u200d\u200db", "\ufe0fa", "a\ufe0f\ufe0fb", " a", "a\u00a0"],
)
def test_a_joiner_or_selector_needs_something_to_join(text: str) -> None:
    assert find_fault(text) is not None


@given(TEXTS, st.integers(1, 12))
def test_a_cleaned_text_is_a_valid_name_or_empty(text: str, most: int) -> None:
    cleaned = clean(text, most)
    assert len(cleaned) <= most
    assert cleaned == "" or find_fault(cleaned) is None
    assert clean(cleaned, most) == cleaned


@pytest.mark.parametrize(
    "whole", ["e\u0301", "👍🏽", "❤️", FAMILY, "🇩🇪", "क्ष", "क्‍ष", "각", "葛\U000e0100", "अनु"[1:], "กำ"[:1] + "ิ"]
)
@pytest.mark.parametrize("before", range(5))
def test_never_cuts_within_a_character(whole: str, before: int) -> None:
    text = "x" * before + whole * 3
    for most in range(before + 1, len(text)):
        left = cut(text, most)
        assert text.startswith(left)
        rest = left.removeprefix("x" * before)
        assert rest == whole * (len(rest) // len(whole)) or most < before + len(whole)


@given(TEXTS, st.integers(1, 12))
def test_a_cut_text_is_a_prefix(text: str, most: int) -> None:
    left = cut(text, most)
    assert len(left) <= most
    assert text.startswith(left)


def test_cuts_flags_in_pairs() -> None:
    assert cut("🇩🇪🇫🇷🇮🇹", 3) == "🇩🇪"
    assert cut("x🇩🇪🇫🇷", 4) == "x🇩🇪"
    assert cut("🇩🇪🇫🇷", 4) == "🇩🇪🇫🇷"
