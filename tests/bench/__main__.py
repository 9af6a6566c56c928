"""`python -m tests.bench`: a table on the terminal, the same figures in .local/bench.json. Three minutes at most."""

import json
import platform
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType

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
from tests.bench.admission import measure_admission, shards_per_thousand
from tests.bench.doors import measure_import, measure_policy
from tests.bench.holds import MESSAGES, measure_holds
from tests.bench.turns import StackFailed, measure_turns, run_mixed, running_stack
from tests.bench.walking import measure_walk

SECONDS_MAX = 180
ROUNDS = 10


class TimeIsOver(BaseException):
    """The bench has taken as long as it may."""


def main() -> int:
    """Measure everything; 2 when a prerequisite is missing, 1 when something could not be measured."""
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS_MAX)
    began = time.monotonic()
    try:
        check_dynamodb_tools()
        refuse_while_running(PID_FILE)
        found = _measure()
    except PrerequisiteMissing as missing:
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    except (StackFailed, StartFailed, TimeIsOver) as failure:
        print(f"bench: {failure or f'not done in {SECONDS_MAX} s'}", file=sys.stderr)
        return 1
    finally:
        signal.alarm(0)
    found["seconds"] = round(time.monotonic() - began, 1)
    (STATE / "bench.json").write_text(json.dumps(found, indent=2) + "\n")
    _show(found)
    return 0


def _measure() -> dict[str, object]:
    found: dict[str, object] = {
        "measured_at": format_time(read_clock()),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "authorizer": measure_import(),
    }
    with running_dynamodb() as dynamodb:
        client = dynamodb.client("dynamodb")
        create_table(client, table_definition(Resolver(read_template())), "bench")
        physical = PhysicalTable(client, "bench")
        admission = measure_admission(physical)
        walk = measure_walk(physical)
        found |= {
            "policy": measure_policy(physical),
            "admission": admission | walk,
            "shards": shards_per_thousand(admission),
        }
    with running_stack() as stack:
        found["turn"] = measure_turns(stack)
        found["hold_to_real"] = measure_holds(stack, run_mixed(stack, MESSAGES, ROUNDS))
    return found


def _show(found: Mapping[str, object]) -> None:
    admission = found["admission"]
    assert isinstance(admission, Mapping)
    columns = list(next(iter(admission.values())))
    print(f"\n{'admission':22}" + "".join(f"{column:>13}" for column in columns))
    for name, figures in admission.items():
        print(f"{name:22}" + "".join(f"{figures[column]:>13}" for column in columns))
    for name in ("shards", "turn", "hold_to_real", "authorizer", "policy"):
        figures = found[name]
        assert isinstance(figures, Mapping)
        print(f"\n{name}")
        for what, value in figures.items():
            print(f"  {what:22}{value:>13}")
    print(f"\n{found['seconds']} s; the same in .local/bench.json, how to read it in infra/docs/bench.md")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TimeIsOver


if __name__ == "__main__":
    sys.exit(main())
