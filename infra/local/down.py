"""Implements `make stop`, which stops the stack of this folder and waits until its process has ended."""

import os
import signal
import time
from pathlib import Path

from infra.local import StartFailed
from infra.local.pidfile import Owner, read_owner
from infra.local.watchdog import GRACE_SECONDS

STOP_SECONDS_MAX = 20.0
_POLL_SECONDS = 0.05


def stop_stack(pid_file: Path) -> str:
    """Stop the stack and return a message for the developer. Idempotent.

    A process that does not end in time is killed. Raises StartFailed if the process still exists after that.
    """
    owner = read_owner(pid_file)
    if owner is None or not owner.alive:
        pid_file.unlink(missing_ok=True)
        return "nothing runs"
    os.kill(owner.pid, signal.SIGTERM)
    if _is_gone_within(owner, STOP_SECONDS_MAX):
        return f"stopped {owner.url}"
    os.kill(owner.pid, signal.SIGKILL)
    if not _is_gone_within(owner, STOP_SECONDS_MAX):
        raise StartFailed(f"process {owner.pid} did not exit")
    time.sleep(GRACE_SECONDS)  # the watchdog terminates the child processes
    pid_file.unlink(missing_ok=True)
    return f"killed {owner.url}, which did not end when asked"


def _is_gone_within(owner: Owner, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not owner.alive:
            return True
        time.sleep(_POLL_SECONDS)
    return False
