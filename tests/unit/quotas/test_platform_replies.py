"""If the reply to any write of an admission is lost, the repeated write recognizes the slot of its run."""

from typing import Any

import pytest
from atrium.kernel.ids import mint_run_id, mint_session_id
from atrium.quotas.model import slot_name
from atrium.quotas.platform import PlatformLimit
from atrium.storage import platform_keys
from atrium.storage.table import PhysicalTable, PlatformTable
from atrium.storage.writes import ANY, Put

from tests.builders.runtimes import TurnedClock
from tests.builders.wires import Send, intercepted, lose_replies


@pytest.mark.table
@pytest.mark.parametrize("taken_before", [0, 1, 2, None])
def test_a_lost_reply_leaks_no_slot(physical_table: PhysicalTable, taken_before: int | None) -> None:
    """Before write number `taken_before`, other runs occupy all slots but one of each item. None means never."""
    clock = TurnedClock()
    limit = PlatformLimit(PlatformTable(physical_table), 24, clock)
    run_id = mint_run_id(clock(), mint_session_id(clock()))
    writes = 0

    def lose_after_others(operation: str, arguments: dict[str, Any], send: Send) -> Any:
        nonlocal writes
        if operation == "UpdateItem":
            if writes == taken_before:
                fill_but_one(limit)
            writes += 1
        return lose_replies(operation, arguments, send)

    with intercepted(physical_table.client, lose_after_others):
        admitted = limit.admit(run_id)
    assert isinstance(admitted, int)
    items = [limit.table.get(platform_keys.platform_concurrency(item)) or {} for item in range(limit.items)]
    assert [slot_name(run_id) in item.get("slots", {}) for item in items] == [at == admitted for at in range(2)]


def fill_but_one(limit: PlatformLimit) -> None:
    until = int(limit.clock().timestamp()) + 60
    for item in range(limit.items):
        slots = {f"run{number}": until for number in range(limit.share(item) - 1)}
        limit.table.write(Put(platform_keys.platform_concurrency(item), {"slots": slots}, ANY))
