"""Runs child processes, each in a separate process group, until a context ends.

If this process ends without leaving the context, the local stack's watchdog terminates the child processes.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from infra.local import watchdog

STOP_SECONDS = 3.0


@contextlib.contextmanager
def running(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], on_end: Callable[[int], None]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a separate process group until the context ends.

    If the command ends before that, `on_end` is called with the exit status. The command's output is written to this
    process's stderr.
    """
    process = subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=2, stderr=2, start_new_session=True
    )
    guard = _guard(process)
    leaving = threading.Event()

    def watch() -> None:
        status = process.wait()
        if not leaving.is_set():
            on_end(status)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield process
    finally:
        leaving.set()
        _end(process)
        watcher.join()
        guard.communicate(f"-{process.pid}\n".encode())


def _guard(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", watchdog.__file__], stdin=subprocess.PIPE, start_new_session=True
    )
    if guard.stdin is not None:
        guard.stdin.write(f"+{process.pid}\n".encode())
        guard.stdin.flush()
    return guard


def _end(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    _signal(process, signal.SIGKILL)  # also kills the remaining processes of the group


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
