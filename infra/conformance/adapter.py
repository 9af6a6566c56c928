"""Builds the Lambda Web Adapter from its crate into .local/adapter. The first build takes about two minutes."""

import sys
import time
from pathlib import Path

from infra.conformance.tools import run_tool
from infra.runtime.environment import STATE

VERSION = "1.0.0-rc1"
HOME = STATE / "adapter"
BINARY = HOME / "bin" / "lambda-adapter"
BUILD_SECONDS = 1200


def built_adapter() -> Path | None:
    """Return the path of the adapter's binary, or None if this version is not built."""
    mark = HOME / "version"
    return BINARY if BINARY.exists() and mark.exists() and mark.read_text() == VERSION else None


def build_adapter() -> Path:
    """Build the binary if it does not exist. Raises PrerequisiteMissing if the build fails."""
    found = built_adapter()
    if found is not None:
        return found
    started = time.monotonic()
    command = ["cargo", "install", "--root", str(HOME), "--locked", "lambda_web_adapter", "--version", VERSION]
    run_tool(command, log=STATE / "adapter.log", timeout_seconds=BUILD_SECONDS)
    (HOME / "version").write_text(VERSION)
    print(f"conformance: Lambda Web Adapter {VERSION} built in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return BINARY
