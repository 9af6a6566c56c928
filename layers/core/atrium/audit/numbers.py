"""Masks card, identity and phone numbers in a text.

A series of digits with single separators is divided into groups. The groups are checked from left to right. At each
group, the longest sequence of adjacent groups that forms a number is masked.
"""

import re

CARD_NUMBER = "[CARD_NUMBER]"
ID_CARD = "[ID_CARD]"
PHONE = "[PHONE]"

_RUN = re.compile(r"[+(]?\d++(?:(?:[ \u00a0\u2010-\u2015-]|\) ?|[ -]\(|(?<=\d)\.(?=\d))\d++)*+[Xx]?+")
_GROUP = re.compile(r"\d++")
_LETTER = re.compile(r"[A-Za-z_]")
_GROUPS_MAX = 6
_DIGITS_MIN, _DIGITS_MAX = 8, 19
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_MOBILE = re.compile(r"(?:0{0,2}86)?1[3-9]\d{9}")


def mask_numbers(text: str) -> str:
    """Return the text with card, identity and phone numbers replaced by labels."""
    parts: list[str] = []
    done = 0
    for run in _RUN.finditer(text):
        if run.end() - run.start() < _DIGITS_MIN:
            continue  # shorter than any number that is masked
        parts += (text[done : run.start()], _mask_run(text, run.start(), run.end()))
        done = run.end()
    return "".join(parts) + text[done:] if done else text


def _mask_run(text: str, start: int, end: int) -> str:
    """Return a series of digits in which every recognised number is replaced by its label."""
    groups = [(found.start(), found.end()) for found in _GROUP.finditer(text, start, end)]
    parts: list[str] = []
    done, at = start, 0
    while at < len(groups):
        window = _find_window(text, groups, at)
        if window is None:
            at += 1
            continue
        label, last, until = window
        begin = groups[at][0]
        begin -= begin > done and text[begin - 1] in "+("
        parts += (text[done:begin], label)
        done, at = until, last + 1
    return "".join(parts) + text[done:end]


def _find_window(text: str, groups: list[tuple[int, int]], at: int) -> tuple[str, int, int] | None:
    """Find the longest number that begins at a group. Return its label, last group and end, or None."""
    lengths = 0
    widest = at
    while widest < len(groups) and widest - at < _GROUPS_MAX:
        lengths += groups[widest][1] - groups[widest][0]
        if lengths > _DIGITS_MAX:
            break
        widest += 1
    for last in range(widest - 1, at - 1, -1):
        window, until = groups[at : last + 1], groups[last][1]
        if text[until : until + 1] in ("X", "x") and _is_identity(_digits(text, window) + "X"):
            return ID_CARD, last, until + 1
        label = _classify(text, window)
        if label:
            return label, last, until
    return None


def _touches_letters(text: str, start: int, end: int) -> bool:
    """Return whether a letter is adjacent to the range. Digits next to a letter belong to an id, such as a UUID."""
    return bool(_LETTER.search(text[max(start - 1, 0) : start] + text[end : end + 1]))


def _digits(text: str, groups: list[tuple[int, int]]) -> str:
    return "".join(str(int(digit)) for start, end in groups for digit in text[start:end])


def _classify(text: str, groups: list[tuple[int, int]]) -> str:
    """Return the label of the number that these groups form together, or "" if they do not form a number."""
    sizes = [end - start for start, end in groups]
    if sizes == [4, 4, 4, 4]:
        return CARD_NUMBER
    if sum(sizes) < _DIGITS_MIN or (len(groups) > 1 and _touches_letters(text, groups[0][0], groups[-1][1])):
        return ""
    number, before = _digits(text, groups), text[max(groups[0][0] - 1, 0) : groups[0][0]]
    has_points = (
        "." in text[groups[0][0] : groups[-1][1]]
    )  # used in phone numbers and decimal fractions, not in card numbers
    if not has_points and (_is_identity(number) or sizes == [3, 2, 4]):
        return ID_CARD
    if not has_points and _is_card(number):
        return CARD_NUMBER
    if _MOBILE.fullmatch(number) or (before == "+" and 8 <= len(number) <= 15):
        return PHONE
    return PHONE if _is_grouped_phone(number, sizes) else ""


def _is_identity(number: str) -> bool:
    if len(number) != 18:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, _ID_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == number[17]


def _is_card(number: str) -> bool:
    """Return whether the digits are a card number. Numbers that look like timestamps in milliseconds are excluded."""
    length = len(number)
    begins = {13: "4", 15: "123456789"}.get(length, "23456789")
    if not 13 <= length <= _DIGITS_MAX or number[0] not in begins:
        return False
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2])
    return (doubled + sum(int(digit) for digit in number[-1::-2])) % 10 == 0


def _is_grouped_phone(number: str, sizes: list[int]) -> bool:
    if sizes == [3, 3, 4] or (sizes == [1, 3, 3, 4] and number[0] == "1"):
        return True
    return len(sizes) == 2 and sizes[0] in (3, 4) and sizes[1] in (7, 8) and number[0] == "0"
