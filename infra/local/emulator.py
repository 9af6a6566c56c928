"""Runs the AWS emulator (ministack) as a child process on a free port, without MQTT and SFTP.

The emulator has no resources when it starts.
"""

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from infra.local import StartFailed
from infra.local.logs.entries import Entry
from infra.local.paths import EMULATOR_PYTHON, ROOT, RUN
from infra.local.ports import HOST, free_port
from infra.local.processes import Child, Children
from infra.runtime.resources import REGION, Endpoint
from infra.runtime.template import PSEUDO

START_SECONDS_MAX = 40.0
_POLL_SECONDS = 0.05


async def start_emulator(children: Children, on_end: Callable[[Child], None]) -> Endpoint:
    """Start the emulator and wait until it is ready. Raises StartFailed if the emulator is not ready in time.

    `on_end` is called if the emulator's process ends without being stopped.
    """
    scratch = RUN / "emulator"
    scratch.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command, environment = emulator_command(port, scratch)
    child = await children.start("emulator", command, folder=ROOT, environment=environment, on_end=on_end, tone=_lower)
    url = f"http://{HOST}:{port}"
    await _wait_until_healthy(url, child)
    return Endpoint(url)


def emulator_command(port: int, scratch: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment variables of an emulator on a port of 127.0.0.1."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": HOST,
        "IOT_MTLS_ENABLED": "false",
        "SFTP_ENABLED": "0",
        "MINISTACK_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": PSEUDO["AWS::AccountId"],
        "PYTHONUNBUFFERED": "1",
    }
    return [str(EMULATOR_PYTHON), "-m", "ministack"], environment


def _lower(entry: Entry) -> Entry:
    """Lower the level of the emulator's unimportant log entries, so that they are not shown on the screen."""
    is_noise = entry.level == "INFO" or "is not held by MiniStack" in entry.message
    return replace(entry, level="DEBUG") if is_noise else entry


async def _wait_until_healthy(url: str, child: Child) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
    while asyncio.get_running_loop().time() < deadline:
        if not child.alive:
            raise StartFailed("the emulator exited during startup; see .local/dev.log")
        if await asyncio.to_thread(is_healthy, url):
            return
        await asyncio.sleep(_POLL_SECONDS)
    raise StartFailed(f"the emulator did not answer within {START_SECONDS_MAX:.0f} s")


def is_healthy(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/_ministack/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
