"""What a plain question asks for, so that tours need no directives: sums, the time, and what was said before."""

import re
from collections.abc import Sequence

WORDS = {"multiplied by": "*", "divided by": "/", "times": "*", "plus": "+", "minus": "-", "×": "*", "÷": "/"}
SUM = re.compile(
    r"\b(?:what(?:['’]s| is)|how much is|calculate|compute|evaluate|work out|solve)\s*:?\s*"
    r"(?:the (?:result|value) of\s*)?"
    r"(?P<sum>[-+(]*\d[\d\s.()+\-*/%]*)",
    re.IGNORECASE,
)
OPERATION = re.compile(r"[\d)]\s*[-+*/%]\s*[-+(]*\d")
TIME = re.compile(
    r"\bwhat time is it\b|\bcurrent time\b|\bwhat(?:['’]s| is) (?:the (?:current )?|today['’]s )(?:time|date)\b"
    r"|\bwhat day is (?:it|today)\b",
    re.IGNORECASE,
)
SPOKEN = r"(?:say|said|ask|asked|tell|told|write|wrote|message|question|thing)"
FIRST = re.compile(
    rf"\bmy (?:very )?first {SPOKEN}\b|\bi {SPOKEN}\b.*\bfirst\b|\bfirst {SPOKEN} (?:that )?i\b", re.IGNORECASE
)
BEFORE = re.compile(
    rf"\bwhat did i (?:just )?{SPOKEN}\b|\bi just {SPOKEN}\b|\bmy (?:previous|last) {SPOKEN}\b", re.IGNORECASE
)
MY_NAME = re.compile(r"\b(?:what(?:['’]s| is) my name|who am i)\b", re.IGNORECASE)
NAMED = re.compile(r"\b(?:my name is|i am called|i['’]m called)\s+([^\W\d_][\w’'-]*)", re.IGNORECASE)
QUOTE_MAX = 200


def asked_sum(text: str) -> str | None:
    """The expression of an arithmetic question, such as `12*7` of “what is 12*7?”, or None."""
    for word, sign in WORDS.items():
        text = re.sub(rf"\s*{word}\s*", sign, text, flags=re.IGNORECASE)
    found = SUM.search(text)
    expression = found["sum"].rstrip(" \n\t.+-*/%(") if found else ""
    return expression if OPERATION.search(expression) else None


def asks_time(text: str) -> bool:
    """Whether the text asks for the time or the date."""
    return TIME.search(text) is not None


def recall(texts: Sequence[str]) -> str | None:
    """Answer a question about the conversation from the user's own texts, oldest first; None if it is none."""
    *earlier, question = texts or [""]
    if MY_NAME.search(question):
        named = [found[1] for text in earlier for found in NAMED.finditer(text)]
        return f"Your name is {named[-1]}." if named else "You have not told me your name."
    if FIRST.search(question):
        return f"The first thing you said was: {quote(texts[0])}"
    if BEFORE.search(question):
        return f"Before that you said: {quote(earlier[-1])}" if earlier else "That is the first thing you said."
    return None


def quote(text: str) -> str:
    """The text in quotation marks, at most 200 characters of it."""
    return f"“{text}”" if len(text) <= QUOTE_MAX else f"“{text[:QUOTE_MAX]}…”"
