"""A running stack is identified by its process id and start time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import StartFailed
from infra.local.down import stop_stack
from infra.local.pidfile import Owner, claim, read_beginning, read_owner, release


def write(path: Path, owner: Owner) -> None:
    path.write_text(json.dumps({"pid": owner.pid, "began": owner.began, "url": owner.url}))


def sleeping() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def owner_of(process: subprocess.Popen[bytes]) -> Owner:
    return Owner(process.pid, read_beginning(process.pid) or "", "http://127.0.0.1:1")


def test_claim_and_release(tmp_path: Path) -> None:
    path = tmp_path / "run" / "dev.pid"
    claim(path, "http://127.0.0.1:8080")
    owner = read_owner(path)
    assert owner is not None
    assert (owner.pid, owner.url, owner.alive) == (os.getpid(), "http://127.0.0.1:8080", True)
    release(path)
    assert not path.exists()


def test_running_stack_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "dev.pid"
    with sleeping() as process:
        write(path, owner_of(process))
        with pytest.raises(StartFailed, match=r"already running at http://127\.0\.0\.1:1; stop it with"):
            claim(path, "http://127.0.0.1:2")
        release(path)
        assert path.exists()
        process.kill()


def test_reused_process_id_is_not_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "dev.pid"
    with sleeping() as process:
        write(path, Owner(process.pid, "some other beginning", "http://127.0.0.1:1"))
        assert stop_stack(path) == "nothing runs"
        assert process.poll() is None
        assert not path.exists()
        process.kill()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid":"x","began":"","url":""}'])
def test_unreadable_file_is_ignored(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dev.pid"
    path.write_text(content)
    assert read_owner(path) is None
    claim(path, "http://127.0.0.1:8080")
    assert read_owner(path) is not None


def test_stop_ends_the_process_and_waits(tmp_path: Path) -> None:
    path = tmp_path / "dev.pid"
    with sleeping() as process:
        write(path, owner_of(process))
        assert stop_stack(path) == "stopped http://127.0.0.1:1"
        assert process.wait() != 0


def test_dead_process_has_no_beginning() -> None:
    with sleeping() as process:
        assert read_beginning(process.pid) is not None
        process.kill()
        process.wait()
    assert read_beginning(process.pid) is None
