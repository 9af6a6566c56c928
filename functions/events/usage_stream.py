"""Adds each new ledger entry from the table's stream to the usage aggregates of its day (`atrium.usage.sums`).

Lambda may repeat, reorder or split batches, but each entry is counted once. Entries that could not be counted are
returned to Lambda, which retries them. An unreadable entry is logged and skipped, because a retry cannot succeed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from atrium.bootstrap import Runtime, runtime
from atrium.http.logs import make_logger
from atrium.kernel.ids import RunId, is_id
from atrium.storage.changes import ItemChange, read_change
from atrium.usage.model import Arrival
from atrium.usage.service import UsageCounter
from atrium.usage.store import decode_entry, ledger_key
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord

logger = make_logger("usage-stream")


def handler(event: dict[str, Any], _context: object) -> PartialItemFailureResponse:
    """Count the new ledger entries of a batch (Lambda entry point). Return the records that Lambda must retry."""
    return count_changes(runtime(), event)


def count_changes(source: Runtime, event: dict[str, Any]) -> PartialItemFailureResponse:
    """Count the new ledger entries of a batch. Return the records that Lambda must retry."""
    failures = UsageCounter(source.tenant_table).count(read_arrivals(event))

    def settle(record: DynamoDBRecord) -> None:
        sequence = record.dynamodb.sequence_number if record.dynamodb else None
        if sequence in failures:
            raise failures[sequence]

    for error in {id(error): error for error in failures.values()}.values():
        logger.warning("entries could not be counted", error=type(error).__name__, internal=error.internal)
    processor = BatchProcessor(EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
    return process_partial_response(event=event, record_handler=settle, processor=processor)


def read_arrivals(event: Mapping[str, Any]) -> Iterator[Arrival]:
    """Yield the new ledger entries of a batch."""
    for record in event["Records"]:
        change = read_change(record)
        if change is None or change.kind != "INSERT" or not _is_ledger(change):
            continue
        try:
            entry = decode_entry(change.tenant_id, change.item())
        except (KeyError, TypeError, ValueError):
            logger.exception("a ledger entry cannot be read", run_id=change.key.sort)
            continue
        yield Arrival(entry, change.sequence)


def _is_ledger(change: ItemChange) -> bool:
    return is_id(change.key.sort, "run") and change.key == ledger_key(RunId(change.key.sort))
