"""DynamoDB Local: fetched once by Maven into .local/dynamodb-local, run in memory on a free port of 127.0.0.1."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from infra.conformance.tools import PrerequisiteMissing, run_tool
from infra.local.ports import free_port
from infra.runtime.environment import STATE
from infra.runtime.resources import Endpoint

POM = Path(__file__).with_name("pom.xml")
HOME = STATE / "dynamodb-local"
MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
FETCH_SECONDS = 600
START_SECONDS = 30


def fetch_dynamodb() -> Path:
    """Return the folder of jars and native libraries, fetched when pom.xml is another than it was fetched for."""
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
    """Run an empty DynamoDB Local while the context is open."""
    jars = fetch_dynamodb()
    port = free_port()
    command = ["java", "-Xmx2g", f"-Djava.library.path={jars}", "-Dsqlite4java.library.path=" + str(jars)]
    command += ["-DDDB_LOCAL_TELEMETRY=0", "-cp", f"{jars}/*", MAIN, "-inMemory", "-sharedDb", "-port", str(port)]
    with (STATE / "dynamodb-local.log").open("w") as log:
        process = subprocess.Popen(command, cwd=HOME, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_until_open(process, port)
            yield Endpoint(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise PrerequisiteMissing("DynamoDB Local did not start, see .local/dynamodb-local.log")
