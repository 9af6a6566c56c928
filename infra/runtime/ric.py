"""Copies awslambdaric and its requirements from the development environment to a separate folder.

On Lambda, awslambdaric is in /var/runtime, which comes after the function and its layers on the import path. The other
packages of the development environment must not be importable.
"""

import shutil
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

from infra.runtime.environment import STATE


def interface_client() -> Path:
    """Return the folder with awslambdaric. Copy the files if the installed version has no folder yet."""
    wanted = distribution("awslambdaric")
    folder = STATE / "runtime" / f"awslambdaric-{wanted.version}"
    if not folder.is_dir():
        scratch = folder.with_suffix(".new")
        shutil.rmtree(scratch, ignore_errors=True)
        for part in _with_requirements(wanted):
            _copy(part, scratch)
        scratch.rename(folder)
    return folder


def _with_requirements(root: Distribution) -> list[Distribution]:
    found = [root]
    for line in root.requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found += _with_requirements(distribution(requirement.name))
    return found


def _copy(part: Distribution, target: Path) -> None:
    for file in part.files or []:
        if ".." in file.parts or file.suffix == ".pyc":
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(str(file.locate())), place)
