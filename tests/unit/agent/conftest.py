"""Fixtures of the agent tests."""

import pytest
from atrium.kernel.ids import SessionId

from tests.builders.tenant_env import TenantEnv, session_id_of


@pytest.fixture
def session_id(tenant_env: TenantEnv) -> SessionId:
    """A session with one ended turn."""
    return session_id_of(tenant_env.talk("first"))
