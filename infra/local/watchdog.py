"""Ends the process groups of a stack whose process has ended. This script uses only the standard library.

The script reads `+<group>` and `-<group>` from standard input. The end of the input means that the stack's process has
ended. The remaining groups then receive SIGTERM and, after a grace period, SIGKILL.
"""

import contextlib
import os
import signal
import sys
import time

GRACE_SECONDS = 3.0


def watch() -> None:
    """Track the process groups until the input ends, and then end the remaining groups."""
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    if groups:
        end_groups(groups)


def end_groups(groups: set[int]) -> None:
    """Terminate the process groups. Kill the groups that are still running after the grace period."""
    _signal_all(groups, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and _signal_all(groups, 0):
        time.sleep(0.05)
    _signal_all(groups, signal.SIGKILL)


def _signal_all(groups: set[int], number: int) -> bool:
    """Send a signal to each process group. Return whether any of the groups existed."""
    found = False
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            found = True
    return found


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watch()
