"""`python -m infra.rebuild --tenant ten_… [--env dev] [--month 2026-11] [--check]`: prints the result to stdout.

The command requests the rebuild in the same way as the API and waits until the rebuild has finished. With `--check`,
it compares the counters in this process and changes nothing. Without `--env`, the command uses the local stack.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date
from typing import get_args

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import TenantId, is_id
from atrium.quotas.limits import show_limit
from atrium.quotas.rebuild.model import Difference, Rebuild
from atrium.quotas.rebuild.service import Rebuilder
from atrium.quotas.rebuild.store import RebuildStore
from atrium.settings import Environment
from atrium.storage.table import PhysicalTable, TenantTable
from atrium.tenants.store import TenantStore
from botocore.exceptions import BotoCoreError, ClientError

from infra.bootstrap.credentials import BootstrapFailed
from infra.bootstrap.stack import DeployedStack
from infra.runtime.environment import STATE
from infra.runtime.resources import Endpoint

WAIT_SECONDS = 1_000
LOCAL = "local"


class RebuildFailed(Exception):
    """Raised if an argument is invalid or the rebuild does not succeed. The message is one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status. If the command fails, print one line to stderr and return 1."""
    options = _parser().parse_args(arguments)
    try:
        table = _tenant_table(_find_table(options), options.tenant)
        month = _read_month(options.month)
        if options.check and month != _read_month(""):
            raise RebuildFailed("CHECK=1 compares the running month: leave MONTH out")
        print(_check(table) if options.check else _rebuild(table, month))
    except (RebuildFailed, BootstrapFailed) as failure:
        return _fail(str(failure))
    except ClientError as error:
        return _fail(f"AWS refused {error.operation_name}: {error.response['Error']['Message']}")
    except (BotoCoreError, AtriumError) as error:
        return _fail(str(error))
    return 0


def _find_table(options: argparse.Namespace) -> PhysicalTable:
    if options.env != LOCAL:
        return DeployedStack(f"atrium-{options.env}", options.env, options.region).table
    try:
        stack = json.loads((STATE / "dev.json").read_text())
    except FileNotFoundError:
        raise RebuildFailed("no local stack runs: start it with make dev, or set ENV=dev, staging or prod") from None
    return PhysicalTable(Endpoint(stack["endpoint_url"]).client("dynamodb"), stack["table"])


def _tenant_table(physical: PhysicalTable, tenant: str) -> TenantTable:
    if not is_id(tenant, "ten"):
        raise RebuildFailed("TENANT must be a tenant's id, ten_…")
    table = TenantTable(physical, TenantId(tenant))
    if TenantStore(table).get() is None:
        raise RebuildFailed(f"tenant {tenant} not found")
    return table


def _read_month(text: str) -> date:
    today = read_clock().astimezone(UTC).date()
    try:
        month = date.fromisoformat(f"{text}-01") if text else today.replace(day=1)
    except ValueError:
        raise RebuildFailed("MONTH must be a month as 2026-11") from None
    if month > today:
        raise RebuildFailed("MONTH must not be in the future")
    return month


def _check(table: TenantTable) -> str:
    drift = Rebuilder(table, read_clock).compare()
    lines = [f"{drift.entries} ledger entries read; {drift.faults} counters and sums are wrong"]
    lines += [_line(each) for each in drift.counters]
    return "\n".join([*lines, f"usage sums that differ: {drift.sums}; entries in no sum: {drift.uncounted}"])


def _rebuild(table: TenantTable, month: date) -> str:
    store = RebuildStore(table)
    asked = store.request(month, by="operator", now=read_clock())
    report = _wait(store, asked).report
    if report is None:
        raise RebuildFailed("the rebuild has no report")
    lines = [f"{asked.month:%Y-%m}: {report.entries} ledger entries read; {len(report.counters)} counters were wrong"]
    lines += [_line(each) for each in report.counters]
    lines.append(
        f"usage sums corrected: {report.sums}; entries counted late: {report.counted}, left: {report.uncounted}"
    )
    return "\n".join(lines)


def _wait(store: RebuildStore, asked: Rebuild) -> Rebuild:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        standing = store.get()
        if standing is None or standing.id != asked.id:
            raise RebuildFailed("another rebuild replaced it; run the command again")
        if standing.status == "succeeded":
            return standing
        time.sleep(0.5)
    raise RebuildFailed(f"the rebuild did not finish in {WAIT_SECONDS} s; see the log of RebuildFunction")


def _line(found: Difference) -> str:
    stored, expected = (show_limit(found.limit, figure) for figure in (found.stored, found.expected))
    why = "  (calls from before the limit was set)" if found.is_explained else ""
    return f"  {found.subject or 'tenant':10} {found.limit:18} {stored:>16} → {expected:>16}{why}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.rebuild", description="Rebuild counters from the ledger.")
    parser.add_argument("--tenant", required=True, metavar="TENANT_ID")
    parser.add_argument("--env", default=LOCAL, choices=(LOCAL, *get_args(Environment.__value__)), help="which stack")
    parser.add_argument("--region", help="by default what the AWS environment says")
    parser.add_argument("--month", default="", help="2026-11; by default the running one")
    parser.add_argument("--check", action="store_true", help="compare only")
    return parser


def _fail(line: str) -> int:
    print(f"rebuild-counters: {' '.join(line.split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
