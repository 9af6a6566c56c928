"""Finds and kills processes of the running stack."""

import os
import signal
import time
from pathlib import Path

from tests.e2e.conftest import Stack
from tests.e2e.waiting import wait_for


def kill_chat(stack: Stack) -> None:
    """Kill all processes of the chat function without running their `finally` blocks, as in a crash of Lambda."""
    processes = _chat_processes(stack.description["endpoint_url"])
    assert processes
    for process in processes:
        os.kill(process, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{process}").exists() for process in processes), 10, "the stack has seen it")
    time.sleep(0.2)  # after this time the emulator sends no calls to these processes


def _chat_processes(endpoint_url: str) -> list[int]:
    """Return the ids of the chat processes of this stack. The address of the stack's emulator identifies them."""
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
