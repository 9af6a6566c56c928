"""The deterministic token count: one token for every four bytes of UTF-8, rounded up.

A prompt counts as its compact JSON (`system`, `tools`, `messages`, content in block form), an answer as the text,
the thinking, and the names and arguments of tools in it.
"""

BYTES_PER_TOKEN = 4


def count_tokens(text: str) -> int:
    """Tokens of a text; 0 for an empty one."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def cut_to_tokens(text: str, tokens: int) -> str:
    """The longest beginning of `text` that has at most `tokens` tokens and breaks no character."""
    return text.encode()[: tokens * BYTES_PER_TOKEN].decode(errors="ignore")


def pad_to_tokens(text: str, tokens: int) -> str:
    """A text of exactly `tokens` tokens that begins like `text`."""
    missing = tokens * BYTES_PER_TOKEN - len(text.encode())
    words = " word" * (missing // 5 + 1) if missing > 0 else ""
    return cut_to_tokens(text + words, tokens)
