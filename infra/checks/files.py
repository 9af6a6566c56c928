"""Lists the project's files according to git: tracked files, and untracked files that are not ignored."""

import subprocess
from collections.abc import Iterator
from pathlib import Path


def project_files(root: Path, *patterns: str) -> Iterator[Path]:
    """Yield the existing files that match git's patterns, sorted. Raises CalledProcessError outside a work tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in sorted(set(listed.stdout.decode().split("\0")) - {""}):
        path = root / name
        if path.is_file() and not path.is_symlink():
            yield path
