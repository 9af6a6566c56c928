"""The tools, admin and chat functions, with a KMS key. Tools may call servers on this machine."""

import pytest
from atrium.egress.client import EgressClient
from atrium.egress.destination import Rules

from tests.builders.api_env import ApiEnv
from tests.builders.http_tools import LOCAL


@pytest.fixture(autouse=True)
def with_secrets(api_env: ApiEnv) -> None:
    api_env.tenant_env.encryption()
    api_env.runtime.__dict__["secret_master_key"] = api_env.tenant_env.master_key
    api_env.runtime.__dict__["egress"] = EgressClient(Rules(local_addresses=LOCAL))
