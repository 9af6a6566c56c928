"""The configuration of the SDK's clients: request headers, timeouts and parsing."""

from typing import Any

import boto3
import pytest
from atrium.storage import clients
from atrium.storage.clients import USER_AGENT, open_client, open_short_timeout_table
from atrium.storage.writes import from_wire
from botocore.exceptions import ClientError
from moto import mock_aws

ITEM: dict[str, Any] = {
    "pk": {"S": "a"},
    "n": {"N": "12"},
    "m": {"M": {"b": {"B": b"\x00\xff"}, "l": {"L": [{"NULL": True}, {"BOOL": False}]}}},
    "names": {"SS": ["x", "y"]},
}
READ = {"pk": "a", "n": 12, "m": {"b": b"\x00\xff", "l": [None, False]}, "names": {"x", "y"}}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


@pytest.mark.parametrize("is_known", [True, False], ids=["values as they came", "a botocore that walks them"])
def test_items_are_read_the_same(is_known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_known:
        monkeypatch.delattr(clients._ItemParser, "_handle_structure")
    with mock_aws():
        client = open_client("dynamodb", attempts=1)
        client.create_table(
            TableName="t",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        client.put_item(TableName="t", Item=ITEM)
        found = client.get_item(TableName="t", Key={"pk": {"S": "a"}})["Item"]
    assert from_wire(found) == READ
    assert isinstance(found["m"]["M"]["b"]["B"], str) is is_known


def test_a_request_has_a_fixed_user_agent_and_is_not_validated() -> None:
    with mock_aws():
        for client in (open_client("dynamodb", attempts=1), open_short_timeout_table("t").client):
            agents: list[str] = []

            def note(request: Any, agents: list[str] = agents, **_: object) -> None:
                agents.append(request.headers["User-Agent"].decode())

            client.meta.events.register_first("before-send.dynamodb", note)
            with pytest.raises(ClientError):
                client.get_item(TableName="none", Key={"pk": {"S": 7}})
            assert [agent.startswith(USER_AGENT) for agent in agents] == [True]


def test_other_sessions_keep_botocores_own_parser() -> None:
    factory = boto3.Session()._session.get_component("response_parser_factory")
    assert not isinstance(factory, clients._ParserFactory)
