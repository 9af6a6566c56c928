"""Checks and runs the tools that `make conformance` needs in addition to Python."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

JAVA_MIN = 17
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CARGO_MIN = (1, 84)  # required by the adapter's dependencies
_JAVA = re.compile(r'version "(?:1\.)?(\d+)')
_CARGO = re.compile(r"^cargo (\d+)\.(\d+)")


class PrerequisiteMissing(Exception):
    """Raised if a tool is missing, too old, or fails. The message is one line."""


def check_tools() -> None:
    """Check Java, Maven, cargo and a browser. Raises PrerequisiteMissing if a tool is missing or too old."""
    check_dynamodb_tools()
    check_cargo(_ask("cargo", "--version", "cargo (Rust)"))
    if not any(shutil.which(name) for name in BROWSERS):
        raise PrerequisiteMissing("Chromium is missing: install it and put `chromium` on PATH")


def check_dynamodb_tools() -> None:
    """Check Java and Maven, which DynamoDB Local needs. Raises PrerequisiteMissing if a tool is missing or too old."""
    check_java(_ask("java", "-version", f"Java {JAVA_MIN} or newer"))
    _ask("mvn", "--version", "Maven")


def check_java(shown: str) -> None:
    """Check the version in the output of `java -version`. Raises PrerequisiteMissing if the version is too old."""
    found = _JAVA.search(shown)
    if found is None:
        raise PrerequisiteMissing("`java -version` printed no version")
    if int(found.group(1)) < JAVA_MIN:
        raise PrerequisiteMissing(f"Java {found.group(1)} is too old: {JAVA_MIN} or newer is needed")


def check_cargo(shown: str) -> None:
    """Check the version in the output of `cargo --version`. Raises PrerequisiteMissing if the version is too old."""
    found = _CARGO.search(shown)
    if found is None:
        raise PrerequisiteMissing("`cargo --version` printed no version")
    if (int(found.group(1)), int(found.group(2))) < CARGO_MIN:
        wanted = ".".join(str(part) for part in CARGO_MIN)
        raise PrerequisiteMissing(f"{found.group().strip()} is too old: {wanted} or newer is needed")


def _ask(tool: str, option: str, name: str) -> str:
    if shutil.which(tool) is None:
        raise PrerequisiteMissing(f"{name} is missing: install it and put `{tool}` on PATH")
    shown = subprocess.run([tool, option], capture_output=True, text=True, check=False, timeout=60)
    if shown.returncode != 0:
        raise PrerequisiteMissing(f"`{tool} {option}` fails: {(shown.stderr or shown.stdout).strip()[:200]}")
    return shown.stdout + shown.stderr


def run_tool(command: Sequence[str], *, log: Path, timeout_seconds: float) -> None:
    """Run a tool and write its output to `log`.

    Raises PrerequisiteMissing if the tool fails or does not finish in time.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=timeout_seconds
            )
        except subprocess.TimeoutExpired:
            raise PrerequisiteMissing(f"{command[0]} did not finish in {timeout_seconds:.0f} s: {log.name}") from None
    if done.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"]
        first = next((line for line in lines if line.lower().startswith(("error", "[error]"))), lines[-1])
        raise PrerequisiteMissing(f"{command[0]} failed, see .local/{log.name}: {first}")
