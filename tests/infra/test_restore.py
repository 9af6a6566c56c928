"""The restore of a table from its backup, and a deployment with the restored table, as far as moto supports them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from atrium.kernel.ids import TenantId
from atrium.storage import keys
from atrium.storage.table import PhysicalTable, TenantTable
from moto import mock_aws

from infra.deploy.restore import restore_table
from infra.runtime.functions import read_functions
from infra.runtime.resources import REGION, create_table, table_definition
from infra.runtime.template import Document, Resolver

TENANT = TenantId("ten_01k6r5m2x8f3v9q4w7t1y0z5ab")
PROFILE = keys.tenant()


@pytest.fixture
def client(template: Document, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A DynamoDB client on moto. The stack's table has the settings of prod and contains one item."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    resolver = Resolver(template, {"Environment": "prod"})
    properties = resolver.resolve(template["Resources"]["Table"]["Properties"])
    with mock_aws():
        made = boto3.client("dynamodb", region_name=REGION)
        create_table(made, table_definition(resolver), "atrium-prod-Table")
        ttl = properties["TimeToLiveSpecification"]
        made.update_time_to_live(TableName="atrium-prod-Table", TimeToLiveSpecification=ttl)
        recovery = properties["PointInTimeRecoverySpecification"]
        made.update_continuous_backups(TableName="atrium-prod-Table", PointInTimeRecoverySpecification=recovery)
        made.update_table(TableName="atrium-prod-Table", DeletionProtectionEnabled=True)
        put(made, "atrium-prod-Table", "acme")
        yield made


def put(client: Any, table: str, name: str) -> None:
    item = {"pk": {"S": f"TENANT#{TENANT}"}, "sk": {"S": PROFILE.sort}, "name": {"S": name}}
    client.put_item(TableName=table, Item=item)


def describe(client: Any, name: str) -> dict[str, Any]:
    """Return the settings of a table that a deployment requires."""
    table = client.describe_table(TableName=name)["Table"]
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    return {
        "keys": table["KeySchema"],
        "indexes": sorted(index["IndexName"] for index in table["GlobalSecondaryIndexes"]),
        "stream": table["StreamSpecification"],
        "protected": table["DeletionProtectionEnabled"],
        "ttl": client.describe_time_to_live(TableName=name)["TimeToLiveDescription"],
        "recovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
    }


@pytest.mark.parametrize("at", [None, datetime(2026, 11, 28, 12, tzinfo=UTC)], ids=["latest", "a time"])
def test_a_restored_table_has_the_settings_of_the_old_one(client: Any, at: datetime | None) -> None:
    restore_table(client, "atrium-prod-Table", "restored", at)

    assert describe(client, "restored") == describe(client, "atrium-prod-Table")


def test_a_deployment_with_the_printed_parameters_reads_the_restored_table(template: Document, client: Any) -> None:
    parameters = restore_table(client, "atrium-prod-Table", "restored", None)
    put(client, "atrium-prod-Table", "damaged")

    functions = read_functions(Resolver(template, {"Environment": "prod", **parameters}))

    assert parameters["RestoredTableStream"] == client.describe_table(TableName="restored")["Table"]["LatestStreamArn"]
    for function in functions.values():
        table = TenantTable(PhysicalTable(client, function.environment["TABLE_NAME"]), TENANT)
        item = table.get(PROFILE)
        assert item is not None
        assert item["name"] == "acme", function.logical_id


def test_an_interrupted_restore_continues(client: Any) -> None:
    first = restore_table(client, "atrium-prod-Table", "restored", None)

    assert restore_table(client, "atrium-prod-Table", "restored", None) == first
