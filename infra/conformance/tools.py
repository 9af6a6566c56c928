"""The tools that conformance needs beside Python, and running them with one clear line when they fail."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

JAVA_MIN = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


class PrerequisiteMissing(Exception):
    """A tool is not there, too old, or failed; the message is one line for a person."""


def check_tools() -> None:
    """Check Java, Maven and cargo; raises PrerequisiteMissing for the first that will not do."""
    if shutil.which("java") is None:
        raise PrerequisiteMissing(f"Java {JAVA_MIN} or newer is missing: install a JRE and put `java` on PATH")
    shown = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False, timeout=60)
    check_java(shown.stderr + shown.stdout)
    for tool, name in (("mvn", "Maven"), ("cargo", "cargo (Rust)")):
        if shutil.which(tool) is None:
            raise PrerequisiteMissing(f"{name} is missing: install it and put `{tool}` on PATH")


def check_java(shown: str) -> None:
    """Check the version that `java -version` showed."""
    found = _VERSION.search(shown)
    if found is None:
        raise PrerequisiteMissing("`java -version` does not tell its version")
    if int(found.group(1)) < JAVA_MIN:
        raise PrerequisiteMissing(f"Java {found.group(1)} is too old: {JAVA_MIN} or newer is needed")


def run_tool(command: Sequence[str], *, log: Path, timeout_seconds: float) -> None:
    """Run a tool with its output in a log; raises PrerequisiteMissing with the log's last line when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=timeout_seconds
            )
        except subprocess.TimeoutExpired:
            raise PrerequisiteMissing(f"{command[0]} did not end in {timeout_seconds:.0f} s, see {log.name}") from None
    if done.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines() or ["it wrote nothing"]
        first = next((line for line in lines if line.lower().startswith(("error", "[error]"))), lines[-1])
        raise PrerequisiteMissing(f"{command[0]} failed, see .local/{log.name}: {first}")
