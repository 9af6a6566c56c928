"""Translates errors of AWS SDKs: a failed condition, or an `Unavailable` that may be retried."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.storage.items import from_wire

_PASSING = frozenset({
    "InternalServerError", "InternalError", "LimitExceededException", "ProvisionedThroughputExceededException",
    "RequestLimitExceeded", "RequestTimeout", "ServiceUnavailable", "SlowDown", "ThrottlingException",
})  # fmt: skip

_CONFLICTS = frozenset({"TransactionConflictException", "TransactionInProgressException"})
_PASSING_REASONS = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError"})


class TransactionRefused(Exception):
    """A transaction was not applied. `failed` are the positions of the operations whose condition failed."""

    def __init__(self, failed: frozenset[int]) -> None:
        self.failed = failed
        super().__init__(f"conditions of operations {sorted(failed)} did not hold")


class Contended(Unavailable):
    """Another transaction was writing the item; nothing was written, and a retry may succeed immediately."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate SDK errors of the block; others are defects and are not caught."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "ConditionalCheckFailedException":
            found: Any = error.response.get("Item")
            raise ConditionFailed(from_wire(found) if found else None) from error
        if code == "TransactionCanceledException":
            _raise_transaction(error)
        if code in _CONFLICTS:
            raise Contended(internal=f"storage answered {code}", retry_after_seconds=1) from error
        if code in _PASSING:
            raise Unavailable(internal=f"storage answered {code}", retry_after_seconds=1) from error
        raise
    except ParamValidationError:
        raise
    except BotoCoreError as error:
        raise Unavailable(internal=f"storage: {type(error).__name__}", retry_after_seconds=1) from error


def _raise_transaction(error: ClientError) -> None:
    reasons = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
    failed = frozenset(at for at, code in enumerate(reasons) if code == "ConditionalCheckFailed")
    if failed:
        raise TransactionRefused(failed) from error
    if "TransactionConflict" in reasons:
        raise Contended(internal=f"transaction: {reasons}", retry_after_seconds=1) from error
    if any(code in _PASSING_REASONS for code in reasons):
        raise Unavailable(internal=f"transaction: {reasons}", retry_after_seconds=1) from error
