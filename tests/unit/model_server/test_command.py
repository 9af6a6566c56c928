"""`python -m infra.local.model_server` prints its address and serves until a signal, or fails if the port is in use."""

import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

pytestmark = pytest.mark.loopback

COMMAND = [sys.executable, "-m", "infra.local.model_server"]


def start() -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_it_serves_until_it_is_told_to_stop() -> None:
    with start() as terminated, start() as interrupted:
        for ran, stop in ((terminated, signal.SIGTERM), (interrupted, signal.SIGINT)):
            assert ran.stdout is not None
            found = re.fullmatch(r"model server: (http://127\.0\.0\.1:\d+)\n", ran.stdout.readline())
            assert found
            assert httpx.get(f"{found[1]}/__stats", trust_env=False).json()["requests"] == 0
            ran.send_signal(stop)
        assert [ran.communicate(timeout=60)[0] for ran in (terminated, interrupted)] == ["", ""]
    assert (terminated.returncode, interrupted.returncode) == (0, 0)


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert ran.stderr == f"model server: port {port} on 127.0.0.1: Address already in use\n"


def test_a_number_that_is_no_port_is_refused() -> None:
    ran = subprocess.run([*COMMAND, "--port", "70000"], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "70000 is not a port (0–65535)" in ran.stderr
