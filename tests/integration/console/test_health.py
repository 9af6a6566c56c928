"""The liveness route makes no calls. The readiness route reports each component within a time limit."""

import threading
import time
from dataclasses import replace

import pytest
from atrium.storage.table import PhysicalTable
from botocore.exceptions import EndpointConnectionError
from httpx2 import Response
from starlette.testclient import TestClient

from functions.console import health
from functions.console.app import build
from infra.bootstrap.credentials import fill_secrets
from tests.builders.deployments import create_secrets
from tests.builders.gateway import call_as
from tests.builders.runtimes import build_runtime


def test_liveness_needs_no_table() -> None:
    client = call_as(build(build_runtime({"ATRIUM_VERSION": "1.2.3"})), None)
    response = client.get("/v1/health")
    assert (response.status_code, response.json()) == (200, {"status": "healthy", "version": "1.2.3"})


def test_a_table_that_answers_is_healthy(client: TestClient) -> None:
    body = client.get("/v1/health/ready").json()
    assert body["status"] == "healthy"
    assert [(component["name"], component["status"]) for component in body["components"]] == [("table", "healthy")]


def test_a_table_that_does_not_exist_is_503(physical_table: PhysicalTable) -> None:
    missing = PhysicalTable(physical_table.client, "no-such-table")
    response = call_as(build(build_runtime(table=missing)), None).get("/v1/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert response.headers["content-type"] == "application/json"
    assert "no-such-table" not in response.text


def test_a_table_that_cannot_be_reached_is_503(physical_table: PhysicalTable) -> None:
    def refuse(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://hush")

    physical_table.client.meta.events.register("before-call.dynamodb.GetItem", refuse)
    response = call_as(build(build_runtime(table=physical_table)), None).get("/v1/health/ready")
    assert (response.status_code, response.json()["components"][0]["status"]) == (503, "unhealthy")
    assert "hush" not in response.text


def test_a_slow_table_is_degraded(physical_table: PhysicalTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SLOW_SECONDS", 0.0)
    response = call_as(build(build_runtime(table=physical_table)), None).get("/v1/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")


@pytest.mark.usefixtures("aws_secrets")
def test_reports_a_missing_model_key_without_reading_values(physical_table: PhysicalTable) -> None:
    client, arns = create_secrets()
    called: list[str] = []
    source = build_runtime({"MODEL_SECRET_ARN": arns.model}, table=physical_table)
    events = source().secrets._provider.client.meta.events
    events.register("before-call.secrets-manager", lambda model, **_: called.append(model.name))
    console = call_as(build(source), None)

    empty = console.get("/v1/health/ready")
    client.put_secret_value(SecretId=arns.model, SecretString='{"anthropic_api_key": "sk"}')
    filled = [console.get("/v1/health/ready") for _ in range(2)]

    assert (empty.status_code, read_statuses(empty)["model_key"]) == (503, "unhealthy")
    assert [(answer.status_code, read_statuses(answer)["model_key"]) for answer in filled] == [(200, "healthy")] * 2
    assert called == ["DescribeSecret", "DescribeSecret"]


@pytest.mark.usefixtures("aws_secrets")
def test_a_secret_that_bootstrap_has_not_filled_is_told_and_none_is_read(physical_table: PhysicalTable) -> None:
    client, arns = create_secrets()
    called: list[str] = []
    arns = replace(arns, search="")
    source = build_runtime({**arns.environment(), "MODEL_SECRET_ARN": ""}, table=physical_table)
    source().secrets._provider.client.meta.events.register(
        "before-call.secrets-manager", lambda model, **_: called.append(model.name)
    )
    console = call_as(build(source), None)

    empty = console.get("/v1/health/ready")
    fill_secrets(client, arns)
    filled = console.get("/v1/health/ready")

    assert (empty.status_code, read_statuses(empty)["secrets"]) == (503, "unhealthy")
    assert (filled.status_code, read_statuses(filled)["secrets"]) == (200, "healthy")
    assert set(called) == {"DescribeSecret"}


def test_a_deployment_without_a_model_key_of_its_own_is_not_asked_for_one(client: TestClient) -> None:
    assert "model_key" not in read_statuses(client.get("/v1/health/ready"))


def read_statuses(answer: Response) -> dict[str, str]:
    return {component["name"]: component["status"] for component in answer.json()["components"]}


def test_a_hanging_table_times_out(physical_table: PhysicalTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT_SECONDS", 0.05)
    released = threading.Event()

    def hang(**_: object) -> None:
        released.wait(60)

    physical_table.client.meta.events.register("before-call.dynamodb.GetItem", hang)
    started = time.perf_counter()
    client = call_as(build(build_runtime(table=physical_table)), None)
    try:
        response = client.get("/v1/health/ready")
    finally:
        released.set()
    assert (response.status_code, response.json()["components"][0]["status"]) == (503, "unhealthy")
    assert time.perf_counter() - started < 5
