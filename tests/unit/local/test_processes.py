"""Child processes and their process groups end when the stack ends for any reason."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.local.logs.stack_log import StackLog
from infra.local.pidfile import read_beginning
from infra.local.processes import Child, Children
from tests.unit.local.builders import until

PATH = {"PATH": os.environ["PATH"]}
STUBBORN = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"

KILLED_STACK = """
import asyncio, os, signal, sys
from pathlib import Path
from infra.local.logs.stack_log import StackLog
from infra.local.processes import Children

async def main():
    children = Children(StackLog(Path(sys.argv[1]), None))
    child = await children.start("a", ["sh", "-c", "sleep 60 & sleep 60"], folder=Path("/"), environment=os.environ)
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def run(tmp_path: Path, work: Callable[[Children], Awaitable[None]]) -> str:
    async def bounded() -> None:
        with contextlib.closing(StackLog(tmp_path / "dev.log", None)) as log:
            children = Children(log)
            try:
                async with asyncio.timeout(20):
                    await work(children)
            finally:
                await children.stop_all()

    asyncio.run(bounded())
    return (tmp_path / "dev.log").read_text()


async def start(children: Children, script: str, folder: Path, on_end: Callable[[Child], None] | None = None) -> Child:
    return await children.start("part", ["sh", "-c", script], folder=folder, environment=PATH, on_end=on_end)


def test_output_is_logged_and_the_end_is_reported(tmp_path: Path) -> None:
    ended: list[Child] = []

    async def work(children: Children) -> None:
        child = await start(children, "echo out; echo err >&2; exit 3", tmp_path, ended.append)
        assert await child.ended == 3
        assert not child.alive

    log = run(tmp_path, work)
    assert [child.status for child in ended] == [3]
    assert "part         out" in log
    assert "part         err" in log
    assert "ERROR part         exited unexpectedly with status 3" in log


def test_stop_ends_the_group_without_failure(tmp_path: Path) -> None:
    ended: list[Child] = []
    pids: list[int] = []

    async def work(children: Children) -> None:
        child = await start(children, STUBBORN, tmp_path, ended.append)
        log = tmp_path / "dev.log"
        await until(lambda: log.read_text().strip())
        pids.extend([child.pid, int(log.read_text().split()[-1])])
        await child.stop(grace_seconds=0.1)
        await child.stop()

    log = run(tmp_path, work)
    assert ended == []
    assert "exited unexpectedly" not in log
    assert [read_beginning(pid) for pid in pids] == [None, None]


def test_children_of_a_dead_child_end(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        child = await start(children, "sleep 60 & exit 0", tmp_path)
        assert await child.ended == 0

    run(tmp_path, work)


def test_kill_is_immediate(tmp_path: Path) -> None:
    async def work(children: Children) -> None:
        child = await start(children, STUBBORN, tmp_path)
        child.kill()
        assert await child.ended == -signal.SIGKILL

    assert "exited unexpectedly" not in run(tmp_path, work)


def test_all_are_stopped(tmp_path: Path) -> None:
    started: list[Child] = []

    async def work(children: Children) -> None:
        started.extend([await start(children, "exec sleep 60", tmp_path) for _ in range(3)])

    run(tmp_path, work)
    assert [child.status for child in started] == [-signal.SIGTERM] * 3


def test_killed_stack_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_STACK, str(tmp_path / "dev.log")]
    killed = subprocess.run(command, capture_output=True, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    group = int(killed.stdout)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the watchdog left the group alone")
