"""Prints the findings of a check."""

import sys
from collections.abc import Iterable


def report(name: str, findings: Iterable[str]) -> int:
    """Print the findings to stderr and return 1. If there are no findings, print "ok" and return 0."""
    lines = list(findings)
    for line in lines:
        print(f"{name}: {line}", file=sys.stderr)
    if not lines:
        print(f"{name}: ok")
    return 1 if lines else 0
