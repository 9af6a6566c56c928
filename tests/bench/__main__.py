"""`python -m tests.bench` runs all measurements, prints tables and writes .local/bench.json in at most five minutes."""

import json
import platform
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from atrium.kernel.clock import format_time, read_clock
from atrium.storage.table import PhysicalTable

from infra.conformance.dynamodb import running_dynamodb
from infra.conformance.tools import PrerequisiteMissing, check_dynamodb_tools
from infra.local import StartFailed
from infra.local.paths import PID_FILE
from infra.local.pidfile import refuse_while_running
from infra.runtime.environment import STATE
from infra.runtime.resources import create_table, table_definition
from infra.runtime.template import Resolver, read_template
from tests.bench.admission import measure_admission, measure_baseline
from tests.bench.aggregates import measure_aggregates
from tests.bench.authorizer import measure_import, measure_policy
from tests.bench.goals import check_goals
from tests.bench.measuring import production_table
from tests.bench.providers import measure_providers
from tests.bench.reservations import MESSAGES, measure_reservations
from tests.bench.scattered import measure_scattered
from tests.bench.sessions import measure_sessions
from tests.bench.slots import measure_slots
from tests.bench.turns import StackFailed, measure_turns, run_mixed, running_stack
from tests.bench.whole import measure_turn

SECONDS_MAX = 300
ROUNDS = 5
TABLES = ("admission", "turn", "session", "slots", "aggregates", "scattered", "providers")
LISTS = ("http", "reserved_to_used", "authorizer", "policy")

type Figures = Mapping[str, Any]


class TimeIsOver(BaseException):
    """The time limit of the bench was reached."""


def main() -> int:
    """Run all measurements. Return 2 if a prerequisite is missing, 1 if a measurement failed, and 0 otherwise."""
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS_MAX)
    found: dict[str, Any] = {"measured_at": format_time(read_clock())}
    found["machine"] = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    began, failed = time.monotonic(), ""
    try:
        check_dynamodb_tools()
        refuse_while_running(PID_FILE)
        _measure_table(found)
        _measure_stack(found)
    except PrerequisiteMissing as missing:
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    except (StackFailed, StartFailed, TimeIsOver) as failure:
        failed = str(failure) or f"not done in {SECONDS_MAX} s"
    finally:
        signal.alarm(0)
    found["seconds"] = round(time.monotonic() - began, 1)
    found["goals"] = check_goals(found)
    (STATE / "bench.json").write_text(json.dumps(found, indent=2) + "\n")
    _show(found)
    if failed:
        print(f"bench: {failed}", file=sys.stderr)
    return 1 if failed else 0


def _measure_table(found: dict[str, Any]) -> None:
    """Run the measurements that need only DynamoDB Local.

    Each result is added to `found` at once, so that it is not lost if the time limit is reached later.
    """
    with empty_table() as (url, physical):
        baseline = measure_baseline(physical)
        found["admission"] = measure_admission(physical, baseline)
        found["turn"] = measure_turn(physical, baseline)
        found["scattered"] = measure_scattered(physical)
        found["slots"] = measure_slots(physical, url, baseline)
        found["policy"] = measure_policy(physical)
    with empty_table() as (_, physical):  # a new server, because thousands of transactions slow down a server
        found["session"] = measure_sessions(physical, baseline)
        found["aggregates"] = measure_aggregates(physical)
    found["authorizer"] = measure_import()
    found["providers"] = measure_providers()


@contextmanager
def empty_table() -> Iterator[tuple[str, PhysicalTable]]:
    """Run DynamoDB Local with an empty table. Yield its URL, and the table with a function's client configuration."""
    with running_dynamodb() as dynamodb:
        create_table(dynamodb.client("dynamodb"), table_definition(Resolver(read_template())), "bench")
        yield dynamodb.url, production_table(dynamodb.url, "bench")


def _measure_stack(found: dict[str, Any]) -> None:
    with running_stack() as stack:
        found["http"] = measure_turns(stack)
        found["reserved_to_used"] = measure_reservations(stack, run_mixed(stack, MESSAGES, ROUNDS))


def _show(found: Figures) -> None:
    for name in TABLES:
        _show_table(name, found.get(name, {}))
    for name in LISTS:
        if name in found:
            print(f"\n{name}")
            for what, value in found[name].items():
                print(f"  {what:32}{value:>12}")
    print(f"\n{'goal':48}{'measured':>12}{'at most':>10}")
    for goal in found["goals"]:
        print(f"{goal['name']:48}{goal['measured']!s:>12}{goal['at_most']:>10}  {goal['status']}")
    print(f"\n{found['seconds']} s; the same in .local/bench.json, how to read it in infra/docs/bench.md")


def _show_table(name: str, rows: Figures) -> None:
    if not rows:
        return
    columns = list(next(iter(rows.values())))
    widths = [max(len(column), 8) + 2 for column in columns]
    print(f"\n{name:34}" + "".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True)))
    for row, figures in rows.items():
        cells = (f"{figures[column]:>{width}}" for column, width in zip(columns, widths, strict=True))
        print(f"{row:34}" + "".join(cells))


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TimeIsOver


if __name__ == "__main__":
    sys.exit(main())
