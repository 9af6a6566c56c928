"""The tools, admin and chat functions, with a KMS key."""

import pytest

from tests.builders.api_env import ApiEnv

KEY = "sk-planted-0123456789-abcd"
OTHER_KEY = "sk-another-9876543210-wxyz"


@pytest.fixture(autouse=True)
def with_secrets(api_env: ApiEnv) -> None:
    api_env.tenant_env.encryption()
    api_env.runtime.__dict__["secret_master_key"] = api_env.tenant_env.master_key


def put_key(api_env: ApiEnv, provider: str = "anthropic", key: str = KEY) -> None:
    answer = api_env.tools_as().put(f"/v1/model-keys/{provider}", json={"key": key})
    assert answer.status_code == 200, answer.text


def key_ends(api_env: ApiEnv) -> list[object]:
    """Return the ends of the API keys of the calls that the model server received, oldest first."""
    return [record.headers["key-end"] for record in api_env.server.requests()]
