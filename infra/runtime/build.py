"""Builds stale functions and layers for this machine, with the makefiles that `sam build` uses.

`make build-<LogicalId>` runs in the code's folder with ARTIFACTS_DIR set. ATRIUM_BUILD_PLATFORM selects this machine's
platform for the dependency layer.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from infra.runtime.environment import STATE
from infra.runtime.functions import LAYER_TYPE, Function
from infra.runtime.template import ROOT, Document, TemplateInvalid

BUILD = STATE / "build"
BUILD_SECONDS = 600


class BuildFailed(Exception):
    """Raised if a code folder is missing or its makefile fails. The message contains the last lines of the output."""


def machine_platform() -> str:
    """Return the name that uv uses for this machine's platform."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    return f"{machine}-apple-darwin" if sys.platform == "darwin" else f"{machine}-manylinux2014"


def build_functions(template: Document, functions: Iterable[Function]) -> Path:
    """Build the functions and their layers if they are stale, and return the build folder.

    Idempotent, and fast if nothing has changed. Raises BuildFailed if a build fails.
    """
    wanted = {function.logical_id: function.code for function in functions}
    for function in functions:
        wanted |= {layer: _layer_source(template, layer) for layer in function.layers}
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:  # the lock is released when the file is closed
        fcntl.flock(lock, fcntl.LOCK_EX)
        for logical_id, source in wanted.items():
            _build(logical_id, ROOT / source)
    return BUILD


def _layer_source(template: Document, logical_id: str) -> str:
    resource = template["Resources"][logical_id]
    if resource["Type"] != LAYER_TYPE:
        raise TemplateInvalid(f"{logical_id} is not a layer")
    return str(resource["Properties"]["ContentUri"])


def _build(logical_id: str, source: Path) -> None:
    target, mark = BUILD / logical_id, BUILD / f"{logical_id}.built"
    state = _fingerprint(source)
    if target.is_dir() and mark.exists() and mark.read_text() == state:
        return
    started = time.monotonic()
    mark.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    _make(logical_id, source, target)
    mark.write_text(state)
    print(f"built {logical_id} in {time.monotonic() - started:.1f} s", file=sys.stderr)


def _make(logical_id: str, folder: Path, target: Path) -> None:
    environment = {
        **os.environ,
        "ARTIFACTS_DIR": str(target),
        "ATRIUM_BUILD_PLATFORM": machine_platform(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    }
    command = ["make", "--no-print-directory", "-f", "Makefile", f"build-{logical_id}"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if done.returncode != 0:
        raise BuildFailed(f"{logical_id}: " + "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:]))


def _fingerprint(source: Path) -> str:
    if not source.is_dir():
        raise BuildFailed(f"the code folder {source.name} does not exist")
    digest = hashlib.sha256(f"{machine_platform()} {sys.version}".encode())
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and "node_modules" not in path.parts:
            digest.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
