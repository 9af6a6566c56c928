"""Callers can access their own sessions. With the scope `admin`, they can access all sessions of the tenant.

Any other session is not found.
"""

import pytest
from atrium.kernel.errors import NotFound
from atrium.kernel.pagination import PageRequest
from atrium.tenants.context import TenantContext

from tests.builders.sessions import begin_session
from tests.builders.tenant_env import ADMIN, OTHER_OWNER, OTHER_TENANT, OWNER, TenantEnv, context_of

OUTSIDERS = [context_of(OTHER_OWNER), context_of(OWNER, tenant=OTHER_TENANT), context_of(ADMIN.owner)]


def test_an_empty_session_belongs_to_the_caller(tenant_env: TenantEnv) -> None:
    service = tenant_env.session_service(context_of(OTHER_OWNER))
    made = begin_session(service, tenant_env.clock, title="T", metadata={"a": 1}, end_user="ann")
    assert (made.owner, made.user_id, made.title, made.end_user) == (OTHER_OWNER, OTHER_OWNER, "T", "ann")
    assert (made.message_count, made.turn, made.created_at) == (0, None, tenant_env.clock.now)
    assert tenant_env.session_service(context_of(OTHER_OWNER)).get(made.id) == made


def test_a_keys_session_has_no_user(tenant_env: TenantEnv) -> None:
    assert tenant_env.session_service().get(tenant_env.open_session()).user_id is None


@pytest.mark.parametrize("context", [context_of(OWNER), ADMIN], ids=["owner", "admin"])
def test_owner_and_admin_can_read_change_and_delete(tenant_env: TenantEnv, context: TenantContext) -> None:
    session_id = tenant_env.open_session()
    service = tenant_env.session_service(context)
    assert [session.id for session in service.list(PageRequest()).items] == [session_id]
    assert service.change(session_id, {"title": "New"}).title == "New"
    assert service.change(session_id, {"title": None, "metadata": None}).title is None
    assert service.change(session_id, {}).metadata == {}
    assert service.list_messages(session_id, PageRequest()).items == []
    service.delete(session_id, undelete_days=0)
    assert service.list(PageRequest()).items == []


@pytest.mark.parametrize("context", OUTSIDERS, ids=["another owner", "another tenant", "admin's id without the scope"])
def test_for_others_a_session_is_not_found(tenant_env: TenantEnv, context: TenantContext) -> None:
    session_id = tenant_env.open_session()
    before = tenant_env.items()
    service = tenant_env.session_service(context)
    for ask in (
        lambda: service.get(session_id),
        lambda: service.change(session_id, {"title": "x"}),
        lambda: service.change(session_id, {}),
        lambda: service.delete(session_id, undelete_days=0),
        lambda: service.list_messages(session_id, PageRequest()),
    ):
        with pytest.raises(NotFound, match="Session not found"):
            ask()
    assert service.list(PageRequest()).items == []
    assert tenant_env.items() == before


@pytest.mark.parametrize(
    "text", ["", "ses_", "ses_x", "run_01k6r5m2x8f3v9q4w7t1y0z5ab", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab"]
)
def test_unknown_session_ids_are_not_found(tenant_env: TenantEnv, text: str) -> None:
    service = tenant_env.session_service(ADMIN)
    for ask in (service.get, service.restore, lambda id: service.delete(id, undelete_days=0)):
        with pytest.raises(NotFound):
            ask(text)


def test_raises_not_found_if_deleted_during_a_change(tenant_env: TenantEnv) -> None:
    session_id = tenant_env.open_session()
    service = tenant_env.session_service()
    service.sessions.mark_deleted(session_id, now=tenant_env.clock())
    with pytest.raises(NotFound):
        service.change(session_id, {"title": "x"})
