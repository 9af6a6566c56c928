"""A write together with the records that tell of it: all, or nothing."""

from collections.abc import Sequence
from typing import Any

from atrium.kernel.errors import ConditionFailed
from atrium.storage.failures import TransactionRefused
from atrium.storage.table import BoundTable
from atrium.storage.writes import Put, Write


def write_recorded(table: BoundTable, write: Write, records: Sequence[Put]) -> dict[str, Any]:
    """Apply a write and its records; return the item as it is afterwards (empty after a deletion).

    Without records it is a plain write. `ConditionFailed` carries the item that stands there.
    """
    if not records:
        return table.write(write)
    try:
        table.transact([write, *records])
    except TransactionRefused as error:
        raise ConditionFailed(table.get(write.key)) from error
    return table.get(write.key) or {}
