"""Checks the size and contents of built artifacts: `python -m infra.checks.artifacts [build folder]`.

Sizes are those of the unzipped files, for which Lambda has a limit of 250 MB. The limits here are far lower, which
leaves space for more dependencies and keeps cold starts short.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from infra.checks.report import report
from infra.checks.routes import functions_of
from infra.runtime.template import ROOT, Document, read_template

BUILD = ROOT / ".aws-sam" / "build"
FUNCTION_BYTES_MAX = 1_000_000
LARGER = {"ConsoleFunction": 3_000_000, "CoreLayer": 10_000_000, "DepsLayer": 70_000_000}
LAYERS = ("DepsLayer", "CoreLayer")


def check_artifacts(template: Document, build: Path = BUILD) -> Iterator[str]:
    """Yield a finding for each artifact that is missing, too large, or has unexpected contents."""
    contents = dict.fromkeys(LAYERS, "python")
    for function, properties in functions_of(template).items():
        contents[function] = str(properties["CodeUri"]).strip("/")
    for logical_id, own in contents.items():
        folder = build / logical_id
        if not folder.is_dir():
            yield f"{logical_id} is not built"
            continue
        yield from _check_size(logical_id, folder)
        yield from _check_contents(logical_id, folder, own)


def artifact_bytes(folder: Path) -> int:
    """Return the total size of all files in a folder and its subfolders."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _check_size(logical_id: str, folder: Path) -> Iterator[str]:
    size, limit = artifact_bytes(folder), LARGER.get(logical_id, FUNCTION_BYTES_MAX)
    if size > limit:
        yield f"{logical_id} has {size / 1e6:.1f} MB, {limit / 1e6:.0f} MB at most"


def _check_contents(logical_id: str, folder: Path, own: str) -> Iterator[str]:
    """Check that the artifact contains only `own`: a function's package, or the folder `python` of a layer."""
    if not any((folder / own).glob("*")):
        yield f"{logical_id} has no {own}"
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and not relative.startswith(f"{own}/"):
            yield f"{logical_id} contains {relative}, which is not below {own}"


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else BUILD
    sys.exit(report("artifacts", check_artifacts(read_template(), chosen)))
