"""Forms of texts that people write, each with the words in which a text of another form is refused."""

WORDS: dict[str, str] = {}
"""The words for each pattern that was named here."""


def form(pattern: str, words: str) -> str:
    """Name a pattern: who sends what does not fit reads the words, not the pattern."""
    WORDS[pattern] = words
    return pattern
