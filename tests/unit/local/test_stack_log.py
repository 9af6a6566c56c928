"""The log file contains all entries. The screen shows the entries of the chosen level."""

import io
import threading
from pathlib import Path

import pytest

from infra.local import StartFailed
from infra.local.logs import follow
from infra.local.logs.stack_log import StackLog
from tests.unit.local.builders import read_clock


def test_file_has_all_entries_and_the_screen_its_level(tmp_path: Path) -> None:
    screen = io.StringIO()
    log = StackLog(tmp_path / "logs" / "dev.log", screen, level="WARNING", clock=read_clock)
    log.line("chat", '{"level":"DEBUG","message":"detail"}')
    log.line("chat", "   ")
    log.note("gateway", "slow", level="WARNING", request_id="6f1c")
    log.write_text("ready: http://127.0.0.1:1")
    log.close()
    kept = (tmp_path / "logs" / "dev.log").read_text().splitlines()
    assert kept == [
        "09:30:15.123 DEBUG chat         detail",
        "09:30:15.123 WARN  gateway      slow req=6f1c",
        "ready: http://127.0.0.1:1",
    ]
    assert screen.getvalue().splitlines() == kept[1:]


def test_previous_log_is_kept(tmp_path: Path) -> None:
    for text in ("first", "second"):
        log = StackLog(tmp_path / "dev.log", None)
        log.write_text(text)
        log.close()
    assert (tmp_path / "dev.log").read_text() == "second\n"
    assert (tmp_path / "dev.log.1").read_text() == "first\n"


def test_following_shows_the_end_and_new_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LINES_BEFORE", 1)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    path = tmp_path / "dev.log"
    path.write_text("old\nnewer\n")
    lines = follow.read_growing(path)
    assert next(lines) == "newer"
    threading.Timer(0.05, lambda: path.write_text("old\nnewer\nnewest\n")).start()
    assert next(lines) == "newest"
    path.rename(tmp_path / "dev.log.1")
    path.write_text("of the next run\n")
    assert next(lines) == "of the next run"
    assert capsys.readouterr().out == ""


def test_following_without_a_log_fails(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="there is no log"):
        follow.follow(tmp_path / "dev.log", colours=False)


def test_following_at_a_level_leaves_out_other_entries_with_their_continuations() -> None:
    lines = [
        "10:04:03.114 DEBUG emulator     started",
        "                   emulator      banner",
        "10:04:03.115 INFO  gateway      POST /v1/chat 200 ms=91",
        "10:04:03.116 WARN  chat         run failed",
        "                   chat         Traceback",
        "",
        "ready: http://127.0.0.1:8080",
    ]
    assert list(follow.at_least("INFO", lines)) == lines[2:]
    assert list(follow.at_least("WARNING", lines)) == lines[3:]
    assert list(follow.at_least("DEBUG", lines)) == lines
