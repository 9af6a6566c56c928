"""Fixtures of the session tests."""

import pytest
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore

from tests.builders.sessions import build_session
from tests.builders.tenant_env import TenantEnv


@pytest.fixture
def sessions(tenant_env: TenantEnv) -> SessionStore:
    return tenant_env.sessions()


@pytest.fixture
def session(sessions: SessionStore) -> Session:
    """A stored session."""
    made = build_session()
    sessions.create(made)
    return made
