"""Validates and cleans names and titles: one line of visible characters.

Invisible characters and direction marks can make one name look like another. `find_fault` rejects them in requests;
`clean` removes them from the data of other systems. Two invisible characters are allowed: the joiners U+200C and U+200D
between two visible characters (needed for Persian, Hindi and emoji), and one variation selector after a visible
character.
"""

import unicodedata
from collections.abc import Iterator

FAULT = "must be one line of visible characters without a space at its beginning or end"
_SPACES = frozenset(" \u00a0\u3000")
_JOINER = "\u200d"
_JOINERS = frozenset("\u200c\u200d")
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"})
# Letters, marks and symbols without a glyph, noncharacters, and code points reserved for invisible characters.
_UNSEEN = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800)),
    *((0x3164, 0x3164), (0xFDD0, 0xFDEF), (0xFE00, 0xFE0D), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF)),
)
_REGIONAL = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_VIRAMA = 9  # the canonical combining class of the signs that join two consonants


def find_fault(text: str) -> str | None:
    """Return the reason why a text is not a valid name or title, or None if it is valid."""
    fits = text == text.strip() and all(_check_positions(text))
    return None if fits else FAULT


def clean(text: str, most: int) -> str:
    """Return a text from another system as one line of visible characters, with at most `most` characters."""
    spaced = " ".join(text.split())
    seen = "".join(char for char in spaced if char in _SPACES or is_unseen(char) or _is_visible(char))
    return cut("".join(char for char, fits in zip(seen, _check_positions(seen), strict=True) if fits).strip(), most)


def cut(text: str, most: int) -> str:
    """Return the first `most` characters of a text, without splitting a grapheme cluster (UAX #29, approximately)."""
    if len(text) <= most:
        return text
    end = most
    while end > 0 and _continues(text, end):
        end -= 1
    return text[: end or most].rstrip(f" {''.join(_JOINERS)}")


def is_unseen(char: str) -> bool:
    """Return whether a character is allowed in names but invisible: a joiner or a variation selector."""
    return char in _JOINERS or _is_selector(char)


def _check_positions(text: str) -> Iterator[bool]:
    """Yield, for each character, whether it is allowed at its position."""
    for at, char in enumerate(text):
        before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
        if char in _JOINERS:
            joined = _is_visible(after) or (before != "" and unicodedata.combining(before) == _VIRAMA)
            yield joined and (_is_visible(before) or _is_selector(before))
        elif _is_selector(char):
            yield _is_visible(before)
        else:
            yield char in _SPACES or _is_visible(char)


def _is_visible(char: str) -> bool:
    """Return whether a character is visible by itself, regardless of the adjacent characters."""
    if not char or _is_selector(char) or unicodedata.category(char) in _UNSEEN_CATEGORIES:
        return False
    code = ord(char)
    return code & 0xFFFE != 0xFFFE and not any(first <= code <= last for first, last in _UNSEEN)


def _is_selector(char: str) -> bool:
    return char in {"\ufe0e", "\ufe0f"} or "\U000e0100" <= char <= "\U000e01ef"


def _continues(text: str, at: int) -> bool:
    """Return whether the character at this index belongs to the same grapheme cluster as the character before it."""
    before, char = text[at - 1], text[at]
    if unicodedata.category(char).startswith("M") or char in _JOINERS or before == _JOINER:
        return True
    if unicodedata.combining(before) == _VIRAMA or "\U0001f3fb" <= char <= "\U0001f3ff":
        return True
    if "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb":  # vowels and finals of Hangul syllables
        return True
    flags = len(text[:at]) - len(text[:at].rstrip(_REGIONAL))
    return char in _REGIONAL and flags % 2 == 1  # two regional indicators are one flag
