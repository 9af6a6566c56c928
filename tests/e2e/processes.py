"""The processes of a running stack that tests kill."""

import os
import signal
import time
from pathlib import Path

from tests.e2e.conftest import Stack
from tests.e2e.waiting import wait_for


def kill_chat(stack: Stack) -> None:
    """Kill every process of the chat function, as a crash of Lambda would: no block of theirs runs to its end."""
    processes = _chat_processes(stack.description["endpoint_url"])
    assert processes
    for process in processes:
        os.kill(process, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{process}").exists() for process in processes), 10, "the stack has seen it")
    time.sleep(0.2)  # it gives no call to one of them any more


def _chat_processes(endpoint_url: str) -> list[int]:
    """Return the chat processes of this stack, which its emulator's address tells from another's."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        ours = f"AWS_ENDPOINT_URL={endpoint_url}".encode() in environment
        if ours and any(b"functions.chat.app:app" in part for part in command):
            found.append(int(folder.name))
    return found
