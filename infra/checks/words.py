"""Checks that no file contains a machine's local path or a package registry host: `python -m infra.checks.words`.

A clone must work on every machine, and users configure their own package registries. Each pattern is written in two
parts, so that this file passes the check.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.checks.files import project_files
from infra.checks.report import report
from infra.runtime.template import ROOT

_FOLDERS = ("work", "root", "tmp", "home", "Users")
_HOSTS = (
    "pyp" r"i\.org",
    "pythonhoste" r"d\.org",
    "npmj" r"s\.(?:org|com)",
    "yarnpk" r"g\.com",
    "crate" r"s\.io",
    "prox" r"y\.golang\.org",
    "rep" r"o1?\.maven\.(?:apache\.)?org",
    "deb" r"\.debian\.org",
)
MACHINE_PATH = re.compile(rf"(?<![\w.)}}/*-])/(?:{'|'.join(_FOLDERS)})/[\w.]")
REGISTRY_HOST = re.compile("|".join(_HOSTS))
_RULES = ((MACHINE_PATH, "a path of one machine"), (REGISTRY_HOST, "the host of a registry"))


def check_text(name: str, text: str) -> Iterator[str]:
    """Yield a finding for each line that contains a forbidden path or host."""
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, meaning in _RULES:
            found = pattern.search(line)
            if found:
                yield f"{name}:{number} names {meaning}: {found.group()}"


def check_words(root: Path = ROOT) -> Iterator[str]:
    """Check every UTF-8 file of the project."""
    for path in project_files(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from check_text(path.relative_to(root).as_posix(), text)


if __name__ == "__main__":
    sys.exit(report("words", check_words()))
