"""The moto server over HTTP: the services that functions use work, and conditional writes are exact."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from infra.runtime.aws import running_aws
from infra.runtime.resources import Endpoint, create_resources
from infra.runtime.template import Resolver, read_template

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with running_aws() as running:
        yield running


@pytest.fixture(scope="module")
def made(endpoint: Endpoint) -> dict[str, dict[str, str]]:
    return create_resources(Resolver(read_template()), endpoint)


def test_resources_of_the_template_are_created(made: dict[str, dict[str, str]], endpoint: Endpoint) -> None:
    table = endpoint.client("dynamodb").describe_table(TableName=made["Table"]["Ref"])["Table"]
    assert len(table["GlobalSecondaryIndexes"]) == 4
    ttl = endpoint.client("dynamodb").describe_time_to_live(TableName=made["Table"]["Ref"])
    assert ttl["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
    assert made["PepperSecret"]["Ref"].startswith("arn:aws:secretsmanager:")
    assert made["JobsQueue"]["Arn"].startswith("arn:aws:sqs:")


def test_blobs_secrets_and_queues_work(made: dict[str, dict[str, str]], endpoint: Endpoint) -> None:
    s3, bucket = endpoint.client("s3"), made["BlobsBucket"]["Ref"]
    s3.put_object(Bucket=bucket, Key="tenants/a b", Body=b"x" * 40_000)
    assert s3.get_object(Bucket=bucket, Key="tenants/a b")["Body"].read() == b"x" * 40_000
    assert s3.head_object(Bucket=bucket, Key="tenants/a b")["ContentLength"] == 40_000
    secrets = endpoint.client("secretsmanager")
    secrets.put_secret_value(SecretId=made["PepperSecret"]["Ref"], SecretString="é")
    assert secrets.get_secret_value(SecretId=made["PepperSecret"]["Ref"])["SecretString"] == "é"
    queue = made["JobsQueue"]["Ref"]
    sqs = endpoint.client("sqs")
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert [message["Body"] for message in sqs.receive_message(QueueUrl=queue)["Messages"]] == ["hello"]


def test_errors_of_the_services_are_returned(made: dict[str, dict[str, str]], endpoint: Endpoint) -> None:
    secrets, dynamodb = endpoint.client("secretsmanager"), endpoint.client("dynamodb")
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId=made["CursorSecret"]["Ref"])
    with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
        dynamodb.get_item(TableName="nowhere", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})


def test_conditional_writes_are_exact_under_threads(made: dict[str, dict[str, str]], endpoint: Endpoint) -> None:
    dynamodb, table = endpoint.client("dynamodb"), made["Table"]["Ref"]
    item = {"pk": {"S": "race"}, "sk": {"S": "1"}}
    dynamodb.put_item(TableName=table, Item={**item, "n": {"N": "0"}})

    def take(_: int) -> int:
        try:
            dynamodb.update_item(
                TableName=table,
                Key=item,
                UpdateExpression="ADD n :one",
                ConditionExpression="n < :max",
                ExpressionAttributeValues={":one": {"N": "1"}, ":max": {"N": "50"}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(150))) == 50


def test_unsigned_call_is_refused(endpoint: Endpoint) -> None:
    assert httpx.get(endpoint.url).status_code == 403
