"""Translation of AWS errors: failed conditions and transient errors. Unexpected errors are not translated."""

from typing import Any

import pytest
from atrium.kernel.errors import ConditionFailed, Unavailable
from atrium.kernel.ids import TenantId
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, TenantTable, TransactionRefused, translated
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.stub import Stubber

from tests.builders.gateway import TENANT_ID

PASSING = ["ThrottlingException", "ProvisionedThroughputExceededException", "InternalServerError", "SlowDown",
           "RequestLimitExceeded", "ServiceUnavailable", "TransactionConflictException"]  # fmt: skip


def raise_in_block(error: Exception) -> None:
    with translated():
        raise error


def client_error(code: str, **response: Any) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "not for the public"}, **response}
    return ClientError(answer, "UpdateItem")


@pytest.mark.parametrize("code", PASSING)
def test_a_transient_error_is_unavailable(code: str) -> None:
    with pytest.raises(Unavailable) as failed:
        raise_in_block(client_error(code))
    assert failed.value.retry_after_seconds == 1
    assert "not for the public" not in failed.value.detail
    assert isinstance(failed.value.__cause__, ClientError)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://x"),
        ConnectTimeoutError(endpoint_url="https://x"),
        ReadTimeoutError(endpoint_url="https://x"),
        NoCredentialsError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_connection_error_is_unavailable(error: BotoCoreError) -> None:
    with pytest.raises(Unavailable):
        raise_in_block(error)


@pytest.mark.parametrize(
    "error",
    [client_error("ValidationException"), client_error("AccessDeniedException"), ParamValidationError(report="x")],
    ids=["ValidationException", "AccessDeniedException", "ParamValidationError"],
)
def test_an_unexpected_error_passes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        raise_in_block(error)
    assert raised.value is error


def test_a_failed_condition_has_the_item() -> None:
    with pytest.raises(ConditionFailed) as failed:
        raise_in_block(client_error("ConditionalCheckFailedException", Item={"n": {"N": "3"}}))
    assert failed.value.item == {"n": 3}


def test_a_failed_condition_without_an_item() -> None:
    with pytest.raises(ConditionFailed) as failed:
        raise_in_block(client_error("ConditionalCheckFailedException"))
    assert failed.value.item is None


def cancelled(*codes: str) -> ClientError:
    return client_error("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


def test_conditions_of_a_transaction() -> None:
    with pytest.raises(TransactionRefused) as refused:
        raise_in_block(cancelled("None", "ConditionalCheckFailed", "None", "ConditionalCheckFailed"))
    assert refused.value.failed == {1, 3}


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_conflict_is_unavailable(code: str) -> None:
    with pytest.raises(Unavailable):
        raise_in_block(cancelled("None", code))


@pytest.mark.parametrize("code", ["ValidationError", "ItemCollectionSizeLimitExceeded", "None"])
def test_an_invalid_transaction_passes_through(code: str) -> None:
    with pytest.raises(ClientError):
        raise_in_block(cancelled(code))


def test_a_throttled_table_is_unavailable(physical_table: PhysicalTable) -> None:
    table = TenantTable(physical_table, TenantId(TENANT_ID))
    with Stubber(physical_table.client) as stub:
        stub.add_client_error("get_item", "ThrottlingException", http_status_code=400)
        with pytest.raises(Unavailable):
            table.get(Key("THINGS", "1"))
