"""Callers can see, read and cancel their own runs. The scope `admin` extends this to all runs of the tenant."""

from datetime import timedelta

import pytest
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import RunId
from atrium.kernel.pagination import PageRequest
from atrium.runs.model import Run, RunStatus
from atrium.tenants.context import TenantContext

from tests.builders.records import build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.tenant_env import ADMIN, OTHER_OWNER, OTHER_TENANT, OWNER, TenantEnv, context_of

OUTSIDERS = [context_of(OTHER_OWNER), context_of(OWNER, tenant=OTHER_TENANT)]


@pytest.fixture
def run(tenant_env: TenantEnv) -> Run:
    made = build_run()
    tenant_env.runs().open(made)
    return made


@pytest.mark.parametrize("context", [context_of(OWNER), ADMIN], ids=["owner", "admin"])
def test_owner_and_admin_see_a_run(tenant_env: TenantEnv, run: Run, context: TenantContext) -> None:
    service = tenant_env.run_service(context)
    assert service.get(run.id) == run
    assert [found.id for found in service.list(PageRequest(), session_id=None, status=None).items] == [run.id]
    assert service.cancel(run.id).cancel_requested


@pytest.mark.parametrize("context", OUTSIDERS, ids=["another owner", "another tenant"])
def test_for_others_a_run_is_not_found(tenant_env: TenantEnv, run: Run, context: TenantContext) -> None:
    service = tenant_env.run_service(context)
    for ask in (service.get, service.cancel):
        with pytest.raises(NotFound):
            ask(run.id)
    for session_id in (None, run.session_id):
        assert service.list(PageRequest(), session_id=session_id, status=None).items == []
    assert tenant_env.runs().get(run.id) == run


@pytest.mark.parametrize("text", ["", "run_x", "ses_01k6r5m2x8f3v9q4w7t1y0z5ab", "run_01k6r5m2x8f3v9q4w7t1y0z5ab"])
def test_malformed_run_ids_are_not_found(tenant_env: TenantEnv, text: str) -> None:
    with pytest.raises(NotFound):
        tenant_env.run_service(ADMIN).get(text)


@pytest.mark.parametrize("session_id", ["", "x", "run_1", "ses_"])
def test_an_unknown_session_has_no_runs(tenant_env: TenantEnv, run: Run, session_id: str) -> None:
    assert tenant_env.run_service(ADMIN).list(PageRequest(), session_id=session_id, status=None).items == []


@pytest.mark.parametrize(("status", "number"), [("running", 0), ("succeeded", 1), ("cancelled", None)])
def test_filters_by_status(tenant_env: TenantEnv, run: Run, status: RunStatus, number: int | None) -> None:
    ended = build_run(run.session_id)
    tenant_env.runs().open(ended)
    tenant_env.runs().end(ended.id, build_outcome("x"), at=NOON)
    expected: list[RunId] = [] if number is None else [[run.id, ended.id][number]]
    for session_id in (None, run.session_id):
        found = tenant_env.run_service().list(PageRequest(), session_id=session_id, status=status)
        assert [each.id for each in found.items] == expected


def test_cancelling_an_ended_run_has_no_effect(tenant_env: TenantEnv, run: Run) -> None:
    outcome = build_outcome("x")
    tenant_env.runs().end(run.id, outcome, at=NOON)
    assert tenant_env.run_service().cancel(run.id) == run.ended(outcome, NOON)


def test_a_page_is_full_despite_newer_runs_of_others(tenant_env: TenantEnv, run: Run) -> None:
    other = build_run(owner=OTHER_OWNER, at=NOON + timedelta(seconds=1))
    tenant_env.runs().open(other)
    found = tenant_env.run_service().list(PageRequest(1), session_id=None, status=None)
    assert [each.id for each in found.items] == [run.id]
