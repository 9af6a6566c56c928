"""The local stack's emulator of AWS alone, on a free port of 127.0.0.1: tables as `make dev` has them."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from infra.local.emulator import emulator_command, is_healthy
from infra.local.ports import HOST, free_port
from infra.runtime.resources import Endpoint

START_SECONDS = 40


@contextlib.contextmanager
def running_emulator(scratch: Path) -> Iterator[Endpoint]:
    """Run an empty emulator while the context is open; what it writes lies in a folder of the caller's."""
    port = free_port()
    command, environment = emulator_command(port, scratch)
    with (scratch / "emulator.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=scratch, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            url = f"http://{HOST}:{port}"
            end = time.monotonic() + START_SECONDS
            while not is_healthy(url):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("the emulator did not start")
                time.sleep(0.1)
            yield Endpoint(url)
        finally:
            process.kill()
            process.wait()
