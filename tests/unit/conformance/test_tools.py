"""The check of required tools reports a missing, outdated or failing tool in one line."""

from pathlib import Path

import pytest

from infra.conformance import __main__ as conformance
from infra.conformance.tools import PrerequisiteMissing, check_cargo, check_java, check_tools, run_tool


@pytest.mark.parametrize(
    "shown", ['openjdk version "17.0.15" 2025-04-15', 'java version "21" 2023-09-19', 'openjdk version "25.0.1"']
)
def test_accepts_a_recent_java(shown: str) -> None:
    check_java(shown)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ('openjdk version "11.0.2" 2019', "Java 11 is too old"),
        ('java version "1.8.0_392"', "Java 8 is too old"),
        ("Unable to locate a Java Runtime", "printed no version"),
    ],
)
def test_rejects_an_old_java(shown: str, reason: str) -> None:
    with pytest.raises(PrerequisiteMissing, match=reason):
        check_java(shown)


def test_cargo_must_be_new_enough() -> None:
    check_cargo("cargo 1.95.0 (f2d3ce0bd 2026-03-21)")
    check_cargo("cargo 1.84.0")
    with pytest.raises(PrerequisiteMissing, match=r"cargo 1\.66 is too old: 1\.84"):
        check_cargo("cargo 1.66.0")
    with pytest.raises(PrerequisiteMissing, match="printed no version"):
        check_cargo("error: rustup could not choose a version")


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        ((), "Java 17 or newer is missing"),
        (("java",), "Maven is missing"),
        (("java", "mvn"), "cargo .* is missing"),
        (("java", "mvn", "cargo"), "Chromium is missing"),
    ],
)
def test_missing_tool_is_named_and_ends_the_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    present: tuple[str, ...],
    reason: str,
) -> None:
    for tool in present:
        script = tmp_path / tool
        script.write_text("#!/bin/sh\necho 'cargo 1.95.0'\necho 'openjdk version \"17.0.1\"'\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrerequisiteMissing, match=reason):
        check_tools()
    assert conformance.main([]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_failing_tool_is_reported_with_its_error_line(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo '[ERROR] no such artifact'; echo more; exit 1"]
    with pytest.raises(PrerequisiteMissing, match=r"^sh failed, see \.local/tool\.log: \[ERROR\] no such artifact$"):
        run_tool(command, log=tmp_path / "tool.log", timeout_seconds=10)
    with pytest.raises(PrerequisiteMissing, match="did not finish in 0 s"):
        run_tool(["sleep", "5"], log=tmp_path / "tool.log", timeout_seconds=0.1)
