"""The Lambda Web Adapter, built once from its crate into .local/adapter (about two minutes)."""

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
    """Return the binary when it is built, in this version."""
    mark = HOME / "version"
    return BINARY if BINARY.exists() and mark.exists() and mark.read_text() == VERSION else None


def build_adapter() -> Path:
    """Build the binary unless it is there; raises PrerequisiteMissing."""
    found = built_adapter()
    if found is not None:
        return found
    started = time.monotonic()
    command = ["cargo", "install", "--root", str(HOME), "--locked", "lambda_web_adapter", "--version", VERSION]
    run_tool(command, log=STATE / "adapter.log", timeout_seconds=BUILD_SECONDS)
    (HOME / "version").write_text(VERSION)
    print(f"conformance: Lambda Web Adapter {VERSION} built in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return BINARY
