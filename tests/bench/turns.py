"""Measurements of turns over HTTP on the local stack, and of the same messages sent directly to the model server.

The difference is the platform's overhead. The ratio depends less on the machine than the times in ms do.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from atrium.settings import MODEL_VENDORS

from infra.local.ports import free_port
from infra.runtime.environment import STATE
from infra.runtime.template import ROOT
from tests.bench.measuring import percentile

WARM_UP, TURNS = 5, 40
START_SECONDS = 120
_TICKS = os.sysconf("SC_CLK_TCK")


class StackFailed(Exception):
    """The local stack failed to start or to answer a call. The message is one line."""


@contextmanager
def running_stack() -> Iterator[dict[str, Any]]:
    """Run a local stack of this folder on a free port. Yield its description.

    Raise StackFailed if the stack does not start, for example because another stack is running in this folder.
    """
    environment = {**os.environ, "PORT": str(free_port())}
    for name in (
        *(f"{vendor.upper()}_{name}" for vendor in MODEL_VENDORS for name in ("API_KEY", "BASE_URL")),
        "DETACH",
    ):
        environment.pop(name, None)
    command = [sys.executable, "-m", "infra.local.dev", "up"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield _wait(process, environment["PORT"]) | {"pid": process.pid}
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[str], port: str) -> dict[str, Any]:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            found: dict[str, Any] = json.loads((STATE / "dev.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            found = {}
        if str(found.get("base_url", "")).endswith(f":{port}"):
            return found
        time.sleep(0.2)
    process.kill()
    said = (process.communicate()[1] or "it did not get ready").strip().splitlines()
    raise StackFailed(f"the local stack did not start: {said[-1] if said else 'it said nothing'}")


def measure_turns(stack: dict[str, Any]) -> dict[str, float]:
    """Return the times of turns and of direct model answers, and the platform's CPU time per turn."""
    tenant = stack["tenants"][0]
    platform, model = Connection(stack["base_url"]), Connection(stack["model_url"])
    key = {"authorization": f"Bearer {tenant['api_key']}"}
    own = {"x-api-key": "bench", "anthropic-version": "2023-06-01"}
    turns: list[float] = []
    direct: list[float] = []
    before = 0.0
    for number in range(WARM_UP + TURNS):
        if number == WARM_UP:
            before, turns, direct = _platform_cpu(stack["pid"]), [], []
        text = f"Bench number {number}: tell me something short. [[tokens=40]]"
        turns.append(platform.post("/v1/chat", {"message": text}, key))
        body = {"model": "claude-haiku-5-5", "max_tokens": 4096, "stream": True}
        direct.append(model.post("/v1/messages", body | {"messages": [{"role": "user", "content": text}]}, own))
    cpu = (_platform_cpu(stack["pid"]) - before) / TURNS
    return {
        "turns": TURNS,
        "turn_p50_ms": round(percentile(turns, 0.5) * 1000, 1),
        "turn_p99_ms": round(percentile(turns, 0.99) * 1000, 1),
        "direct_p50_ms": round(percentile(direct, 0.5) * 1000, 1),
        "direct_p99_ms": round(percentile(direct, 0.99) * 1000, 1),
        "added_p50_ms": round((percentile(turns, 0.5) - percentile(direct, 0.5)) * 1000, 1),
        "ratio_p50": round(percentile(turns, 0.5) / percentile(direct, 0.5), 2),
        "platform_cpu_ms": round(cpu * 1000, 1),
    }


def run_mixed(stack: dict[str, Any], messages: Sequence[str], rounds: int) -> list[str]:
    """Send each message `rounds` times. Return the ids of the runs."""
    platform, key = Connection(stack["base_url"]), {"authorization": f"Bearer {stack['tenants'][0]['api_key']}"}
    runs = []
    for number in range(rounds):
        for message in messages:
            platform.post("/v1/chat", {"message": message.format(number=number)}, key)
            runs.append(json.loads(platform.content)["run_id"])
    return runs


class Connection:
    """A persistent HTTP connection. `content` is the body of the last response."""

    def __init__(self, url: str) -> None:
        self.content = b""
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def post(self, path: str, body: object, headers: dict[str, str]) -> float:
        began = time.perf_counter()
        self._connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
        answer = self._connection.getresponse()
        self.content = answer.read()
        if answer.status != 200:
            raise StackFailed(f"{path} answered {answer.status}: {self.content[:200]!r}")
        return time.perf_counter() - began


def _platform_cpu(stack: int) -> float:
    """Return the CPU seconds of the stack's function processes, without the emulator and the model server."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _stat(int(entry.name))
            children.setdefault(int(parent[1]) if parent else 0, []).append(int(entry.name))
    found, wanted = 0.0, [stack]
    while wanted:
        pid = wanted.pop()
        wanted += children.get(pid, [])
        stat = _stat(pid)
        if stat and _runs_functions(pid):
            found += (int(stat[11]) + int(stat[12])) / _TICKS
    return found


def _stat(pid: int) -> list[str] | None:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _runs_functions(pid: int) -> bool:
    try:
        command = (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return "functions." in command or "lambdas" in command
