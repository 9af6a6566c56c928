"""Runs in-memory DynamoDB servers for tests on free ports of 127.0.0.1.

A server is DynamoDB Local or the local stack's emulator. Maven downloads DynamoDB Local once, into
.local/dynamodb-local.
"""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from infra.conformance.tools import PrerequisiteMissing, run_tool
from infra.local.emulator import emulator_command, is_healthy
from infra.local.ports import HOST, free_port
from infra.runtime.environment import STATE
from infra.runtime.resources import Endpoint

POM = Path(__file__).with_name("pom.xml")
HOME = STATE / "dynamodb-local"
MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
FETCH_SECONDS = 600
START_SECONDS = 40


def fetch_dynamodb() -> Path:
    """Return the folder with DynamoDB Local's JAR files and native libraries. Download them if pom.xml has changed."""
    mark, jars = HOME / "pom.xml", HOME / "lib"
    wanted = POM.read_text()
    if not mark.exists() or mark.read_text() != wanted:
        started = time.monotonic()
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        log = STATE / "dynamodb-local.log"
        run_tool(["mvn", "-B", "-q", "-f", str(POM), *goal], log=log, timeout_seconds=FETCH_SECONDS)
        mark.write_text(wanted)
        print(f"conformance: DynamoDB Local fetched in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return jars


@contextlib.contextmanager
def running_dynamodb() -> Iterator[Endpoint]:
    """Run a DynamoDB Local server without tables until the context ends, and yield its endpoint."""
    jars = fetch_dynamodb()
    port = free_port()
    command = ["java", "-Xmx2g", f"-Djava.library.path={jars}", "-Dsqlite4java.library.path=" + str(jars)]
    command += ["-DDDB_LOCAL_TELEMETRY=0", "-cp", f"{jars}/*", MAIN, "-inMemory", "-sharedDb", "-port", str(port)]
    with _running_server(command, HOME, None, STATE / "dynamodb-local.log", lambda: _is_open(port)):
        yield Endpoint(f"http://{HOST}:{port}")


@contextlib.contextmanager
def running_emulator(scratch: Path) -> Iterator[Endpoint]:
    """Run an empty emulator until the context ends, and yield its endpoint.

    The emulator writes its files into the folder `scratch`.
    """
    port = free_port()
    url = f"http://{HOST}:{port}"
    command, environment = emulator_command(port, scratch)
    with _running_server(command, scratch, environment, scratch / "emulator.log", lambda: is_healthy(url)):
        yield Endpoint(url)


@contextlib.contextmanager
def _running_server(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None,
    log: Path,
    is_ready: Callable[[], bool],
) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            end = time.monotonic() + START_SECONDS
            while not is_ready():
                if process.poll() is not None or time.monotonic() > end:
                    raise PrerequisiteMissing(f"{command[0]} did not start, see {log.name}")
                time.sleep(0.05)
            yield
        finally:
            process.kill()
            process.wait()


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False
