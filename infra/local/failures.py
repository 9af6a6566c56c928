"""The one exception that ends a start: its text is the one line that the developer reads."""


class StartFailed(Exception):
    """The stack cannot start, or cannot go on; the text says what to do about it."""
