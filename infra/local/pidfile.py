"""Reads and writes the PID file of this folder's stack.

The file contains the process id and the start time of the process, because process ids are reused.
"""

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local import StartFailed


@dataclass(frozen=True)
class Owner:
    """The process and the URL of a stack. `began` is the start time of the process."""

    pid: int
    began: str
    url: str

    @property
    def alive(self) -> bool:
        """Return whether the process is running."""
        return read_beginning(self.pid) == self.began


def read_owner(path: Path) -> Owner | None:
    """Return the owner in the file, or None if the file is missing or unreadable."""
    try:
        content = json.loads(path.read_text())
        return Owner(int(content["pid"]), str(content["began"]), str(content["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def claim(path: Path, url: str) -> None:
    """Write this process to the file as the owner. Raises StartFailed if this folder's stack is already running."""
    refuse_while_running(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(Owner(os.getpid(), read_beginning(os.getpid()) or "", url))))
    scratch.replace(path)


def refuse_while_running(path: Path) -> None:
    """Raise StartFailed if this folder's stack is running in another process."""
    owner = read_owner(path)
    if owner is not None and owner.alive and owner.pid != os.getpid():
        raise StartFailed(f"this folder's stack is already running at {owner.url}; stop it with `make stop`")


def release(path: Path) -> None:
    """Delete the file if it contains the id of this process."""
    owner = read_owner(path)
    if owner is not None and owner.pid == os.getpid():
        path.unlink(missing_ok=True)


def read_beginning(pid: int) -> str | None:
    """Return the start time of a process in the system's format, or None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _ask_ps(pid)
    return None if fields[0] in {"Z", "X"} else fields[19]


def _ask_ps(pid: int) -> str | None:
    """Return the start time from `ps`, for systems without /proc."""
    found = subprocess.run(["ps", "-o", "lstart=,state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    began = found.stdout.strip()
    return None if not began or began.split()[-1].startswith("Z") else began.rpartition(" ")[0]
