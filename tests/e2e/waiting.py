"""Waits for a condition, with a time limit."""

import time
from collections.abc import Callable


def wait_for[Found](look: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """Call `look` until it returns a result that is neither None nor False, and return the result.

    Fail with `what` after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)
