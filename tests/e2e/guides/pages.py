"""Runs the shell blocks of README and guides. The blocks of a page run in order, in one shell.

The info string of a fence is the kind of the block. A `sh` block is run. A `sh aws` block is not run, because it needs
an AWS account. A `sh manual` block is not run for another reason: it does not end, or it takes minutes. If a call of a
block returns a status of 400 or above, a comment in the block must announce the status: `# 409`.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "infra" / "docs").glob("*.md")))
RUN, LANGUAGES = "sh", frozenset({"sh", "sh aws", "sh manual", "json", "toml", "python", "text", "http"})
PAGE_SECONDS = 400  # a page needs only a few seconds on an idle machine
_FENCE = re.compile(r"^```(?P<info>.*)\n(?P<code>(?:.*\n)*?)^```$", re.MULTILINE)
_ANNOUNCED = re.compile(r"#[^\n]*?\b([45]\d\d)\b")
_CURL = """#!/bin/sh
exec {curl} -w "%{{stderr}}guide-status $GUIDE_BLOCK %{{http_code}} %{{url_effective}}\\n" "$@"
"""
_STATUS = re.compile(r"^guide-status (\d+) (\d{3}) (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is the number of its first line of code."""

    line: int
    info: str
    code: str

    @property
    def announced(self) -> set[int]:
        """The statuses of 400 and above that the comments of the block announce."""
        return {int(status) for status in _ANNOUNCED.findall(self.code)}


def read_blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, found.start()) + 2, found["info"], found["code"]) for found in _FENCE.finditer(text)
    ]


def starts_a_stack(page: Path) -> bool:
    """Return whether the commands of the page start the local stack."""
    return any("make dev" in block.code for block in read_blocks(page) if block.info == RUN)


def run_page(page: Path, scratch: Path, environment: Mapping[str, str]) -> list[str]:
    """Run the blocks of a page. Return one line per failure."""
    blocks = {block.line: block for block in read_blocks(page) if block.info == RUN}
    script = ["set -euo pipefail"]
    for line, block in blocks.items():
        script += [f"export GUIDE_BLOCK={line}", "echo guide-block $GUIDE_BLOCK", block.code]
    status, output, errors = _run_script("\n".join(script), scratch, environment)
    statuses = [(int(line), int(status), url) for line, status, url in _STATUS.findall(errors)]
    found = [
        f"{page.name}:{line}: {url} answered {status}, which the block does not announce (# {status})"
        for line, status, url in statuses
        if status >= 400 and status not in blocks[line].announced
    ]
    seen = {(line, status) for line, status, _ in statuses}
    found += [
        f"{page.name}:{line}: no call answered {status}, which the block announces"
        for line, block in blocks.items()
        for status in sorted(block.announced)
        if (line, status) not in seen
    ]
    if status:
        last = output.rpartition("guide-block ")[2]
        told = [line for line in errors.splitlines() if not line.startswith("guide-status")]
        found.append(f"{page.name}: exit status {status} in the block at line {last[:2000]}{told[-5:]}")
    return found


def _run_script(script: str, scratch: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a script in a process group that is killed when the script ends. Return exit status, output and errors."""
    output, errors = scratch / "output", scratch / "errors"
    with output.open("w") as to_output, errors.open("w") as to_errors:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=ROOT,
            env={**os.environ, **environment, "PATH": f"{_wrap_curl(scratch)}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=to_output,
            stderr=to_errors,
            start_new_session=True,
        )
        try:
            status = process.wait(PAGE_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return status, output.read_text(), errors.read_text()


def _wrap_curl(scratch: Path) -> Path:
    """Write a `curl` wrapper that also reports the status of each response. Return the folder of the wrapper."""
    curl, folder = shutil.which("curl"), scratch / "bin"
    assert curl is not None, "the guides need curl"
    folder.mkdir(exist_ok=True)
    command = folder / "curl"
    command.write_text(_CURL.format(curl=shlex.quote(curl)))
    command.chmod(0o755)
    return folder
