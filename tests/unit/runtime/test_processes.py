"""Every started process ends when its parent process ends for any reason."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from infra.runtime.processes import running

FAMILY = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print(1, flush=True); __import__('time').sleep(60)"
PARENT = """
import os, sys, time
from pathlib import Path
from infra.runtime.processes import running
with running(["sleep", "60"], folder=Path("."), environment={"PATH": os.environ["PATH"]}, on_end=print) as child:
    print(child.pid, flush=True)
    time.sleep(60)
"""


def gone(group: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return False
    return True


def holds_soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_the_whole_group_ends_with_the_context(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"]}
    ended: list[int] = []
    with running(
        [sys.executable, "-c", FAMILY], folder=tmp_path, environment=environment, on_end=ended.append
    ) as child:
        time.sleep(0.3)
        assert not gone(child.pid)
    assert holds_soon(lambda: gone(child.pid))
    assert ended == []


def test_reports_a_process_that_ends_by_itself(tmp_path: Path) -> None:
    ended: list[int] = []
    with running([sys.executable, "-c", "exit(4)"], folder=tmp_path, environment={}, on_end=ended.append):
        assert holds_soon(lambda: ended == [4])


def test_children_of_a_killed_parent_end() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.send_signal(signal.SIGKILL)
    assert holds_soon(lambda: gone(child))
