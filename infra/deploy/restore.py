"""`python -m infra.deploy.restore --env prod --at 2026-11-28T12:00:00Z`, used by `make restore`.

The command restores the stack's table to a new table and adds the settings that a restore omits: stream, TTL,
point-in-time recovery and deletion protection. It prints the parameters with which a deployment uses the new table, and
does not change the stack. If the new table is already being restored, the command waits until the restore is complete.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from atrium.settings import Environment
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from infra.bootstrap.credentials import BootstrapFailed
from infra.bootstrap.stack import DeployedStack

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

# A restore takes from 20 minutes to several hours.
_POLL_SECONDS = 20
_POLLS = 1_080


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status. If the command fails, print one line to stderr and return 1."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.restore", description="Restore a stack's table.")
    parser.add_argument("--env", required=True, choices=get_args(Environment.__value__), help="which deployment")
    parser.add_argument("--at", type=_read_time, default=None, help="point in time, UTC; by default the latest")
    parser.add_argument("--name", help="name of the new table; by default the old name and the time")
    options = parser.parse_args(arguments)
    try:
        table = DeployedStack(f"atrium-{options.env}", options.env).table
        name = options.name or f"{table.name}-{options.at or datetime.now(UTC):%Y%m%d-%H%M%S}"
        print(f"restore: {table.name} to {name}", file=sys.stderr)
        parameters = restore_table(table.client, table.name, name, options.at)
    except (BootstrapFailed, ClientError, BotoCoreError, WaiterError) as error:
        print(f"restore: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    for parameter, value in parameters.items():
        print(f'"{parameter}={value}",')
    return 0


def restore_table(client: DynamoDBClient, source: str, target: str, at: datetime | None) -> dict[str, str]:
    """Restore a table to a new table with the source table's settings.

    Return the template parameters that select the new table.
    """
    described = client.describe_table(TableName=source)["Table"]
    key = described.get("SSEDescription", {}).get("KMSMasterKeyArn")
    encryption: Any = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key} if key else None
    when: Any = {"RestoreDateTime": at} if at else {"UseLatestRestorableTime": True}
    try:
        client.describe_table(TableName=target)
    except client.exceptions.ResourceNotFoundException:
        own: Any = {"SSESpecificationOverride": encryption} if encryption else {}
        client.restore_table_to_point_in_time(SourceTableName=source, TargetTableName=target, **when, **own)
    _wait(client, target)
    _complete(client, source, target, protected=bool(described.get("DeletionProtectionEnabled")))
    return {
        "RestoredTable": target,
        "RestoredTableStream": client.describe_table(TableName=target)["Table"]["LatestStreamArn"],
    }


def _complete(client: DynamoDBClient, source: str, target: str, *, protected: bool) -> None:
    """Add the settings that a restore omits, unless the table already has them."""
    if not client.describe_table(TableName=target)["Table"].get("StreamSpecification", {}).get("StreamEnabled"):
        stream: Any = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        client.update_table(TableName=target, StreamSpecification=stream)
        _wait(client, target)
    wanted, found = (client.describe_time_to_live(TableName=name)["TimeToLiveDescription"] for name in (source, target))
    if found.get("TimeToLiveStatus") == "DISABLED" and "AttributeName" in wanted:
        ttl: Any = {"Enabled": True, "AttributeName": wanted["AttributeName"]}
        client.update_time_to_live(TableName=target, TimeToLiveSpecification=ttl)
    recovery: Any = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName=target, PointInTimeRecoverySpecification=recovery)
    client.update_table(TableName=target, DeletionProtectionEnabled=protected)
    _wait(client, target)


def _wait(client: DynamoDBClient, name: str) -> None:
    waiter = client.get_waiter("table_exists")
    waiter.wait(TableName=name, WaiterConfig={"Delay": _POLL_SECONDS, "MaxAttempts": _POLLS})


def _read_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
