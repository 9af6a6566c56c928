"""`python -m infra.mutants [words…]`: tests all mutants, or the mutants whose description contains one of the words.

The exit status is 0 only if the tests detect every mutant.
"""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

from infra.mutants.planting import module_of
from infra.mutants.sites import find_sites
from infra.mutants.trying import Attempt, Tried, begin
from infra.openapi.sources import FUNCTIONS
from infra.runtime.template import ROOT

AT_ONCE = 2
LOGS = ROOT / ".local" / "mutants"


def main(arguments: list[str] | None = None) -> int:
    """Test the mutants, two at a time, and print each result. Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose line has one of these")
    words = parser.parse_args(arguments).words
    waiting = [site for site in find_sites() if not words or any(word in str(site) for word in words)]
    LOGS.mkdir(parents=True, exist_ok=True)
    for name in [*(module_of(site.path) for site in waiting), *(f"functions.{each}.app" for each in FUNCTIONS), "moto"]:
        import_module(name)
    began, count = time.monotonic(), len(waiting)
    running: list[Attempt] = []
    tried: list[Tried] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            site = waiting.pop(0)
            running.append(begin(site, _log(len(tried) + len(running))))
        for attempt in list(running):
            ended = attempt.ended()
            if ended is not None:
                running.remove(attempt)
                tried.append(ended)
                print(f"{ended.outcome:9} {ended.seconds:4.0f} s  {ended.site}", flush=True)
        time.sleep(0.1)
    alive = [each for each in tried if each.outcome != "killed"]
    print(f"mutants: {count - len(alive)} of {count} killed in {time.monotonic() - began:.0f} s")
    return 1 if alive or not count else 0


def _log(number: int) -> Path:
    return LOGS / f"{number}.log"


if __name__ == "__main__":
    sys.exit(main())
