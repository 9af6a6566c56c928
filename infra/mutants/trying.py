"""Tests a mutant: forks this process, applies the mutant in the fork, and runs tests until one fails."""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.mutants.planting import plant
from infra.mutants.sites import Site
from infra.runtime.template import ROOT

type Outcome = Literal["killed", "survived", "timed out", "broken"]

SECONDS_MAX = 180.0
# The filter suppresses repeated warnings about modules that were imported before the fork.
_OPTIONS = (
    "-x", "-q", "-p", "no:cacheprovider", "--timeout=120", "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
_SUITE = tuple(f"tests/isolation/test_{part}.py" for part in ("outsiders", "lists", "routes"))
# Features whose tests run before the isolation suite, because these tests detect mutants earlier or detect more mutants
# than the isolation suite.
_BY_ITS_OWN = frozenset({"identity", "storage", "tenants", "usage", "authorizer"})
# Additional tests of modules, by the prefix of the module's path. The tests of all matching prefixes are used.
_NEAREST = {
    "identity/clients": ("integration/admin_clients", "integration/oauth"),
    "identity/connections": ("integration/social/test_connections.py",),
    "identity/login": ("integration/login",),
    "identity/families": ("integration/logins",),
    "identity/oauth": ("integration/oauth",),
    "identity/providers": ("integration/admin_identity_providers", "integration/foreign_tokens"),
    "identity/social": ("integration/social",),
    "identity/": ("integration/authorizer",),
    "functions/identity/social": ("integration/social",),
    "runs/": ("unit/runs",),
    "storage/changes": ("unit/storage/test_changes.py", "unit/events"),
    "tenants/": ("integration/tenants", "integration/platform"),
    "usage/": ("integration/usage",),
}


@dataclass(frozen=True)
class Tried:
    """The result of the tests of one mutant."""

    site: Site
    outcome: Outcome
    seconds: float


@dataclass
class Attempt:
    """A running fork that tests a mutant."""

    site: Site
    process: int
    began: float

    def ended(self) -> Tried | None:
        """Return the result, or None while the fork is running. Kill a fork that exceeds the time limit."""
        process, status = os.waitpid(self.process, os.WNOHANG)
        seconds = time.monotonic() - self.began
        if not process:
            if seconds < SECONDS_MAX:
                return None
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            return Tried(self.site, "timed out", seconds)
        outcomes: dict[int, Outcome] = {0: "survived", 1: "killed"}
        return Tried(self.site, outcomes.get(os.waitstatus_to_exitcode(status), "broken"), seconds)


def begin(site: Site, log: Path) -> Attempt:
    """Fork this process, and run the tests of a site's mutant in the fork."""
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        status = 70
        try:
            with log.open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            plant(site)
            status = _run(tests_of(site))
        except BaseException:  # noqa: BLE001 - last handler of the process; the log contains the error
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return Attempt(site, process, began)


def tests_of(site: Site) -> list[str]:
    """Return the paths of the tests of a site, in the order in which they run.

    The order is: the module's tests, the tests in `_NEAREST`, the isolation suite, and the feature's tests. For
    features in `_BY_ITS_OWN`, the feature's tests precede the isolation suite.
    """
    place = site.path.removeprefix("layers/core/atrium/")
    parts = Path(place).parts
    feature = parts[1] if parts[0] == "functions" else parts[0]
    own = [*ROOT.glob(f"tests/unit/{feature}/test_{Path(site.path).stem}.py")]
    near = [ROOT / "tests" / path for start, paths in _NEAREST.items() if place.startswith(start) for path in paths]
    wide = [*ROOT.glob(f"tests/unit/{feature}"), *ROOT.glob(f"tests/integration/{feature}*")]
    first, last = (wide, []) if feature in _BY_ITS_OWN else ([], wide)
    found = [*own, *near, *first, *(ROOT / path for path in _SUITE), *last]
    return [str(path.relative_to(ROOT)) for path in dict.fromkeys(found)]


def _run(tests: Sequence[str]) -> int:
    import pytest

    # Each path gets a separate pytest run, so that the first run starts before the other paths are collected.
    for path in tests:
        status = int(pytest.main([*_OPTIONS, path]))
        if status not in (0, 5):
            return status
    return 0
