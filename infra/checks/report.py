"""Prints the findings of a check."""

import sys
from collections.abc import Iterable


def report(name: str, findings: Iterable[str]) -> int:
    """Print the findings to stderr, or "ok" without any; return the exit status, 0 or 1."""
    lines = list(findings)
    for line in lines:
        print(f"{name}: {line}", file=sys.stderr)
    if not lines:
        print(f"{name}: ok")
    return 1 if lines else 0
