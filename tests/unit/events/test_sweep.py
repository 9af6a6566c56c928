"""The handler of the sweeper: which runs it closes, what it counts, and what it logs."""

import pytest
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from functions.events.sweep import sweep_runs
from tests.builders.runtimes import build_runtime
from tests.builders.tenant_env import OTHER_TENANT, TenantEnv, context_of


def sweep(tenant_env: TenantEnv) -> dict[str, int]:
    runtime = build_runtime(table=tenant_env.physical, clock=tenant_env.clock)()
    runtime.__dict__["bucket"] = tenant_env.bucket
    return sweep_runs(runtime)


def test_runs_of_all_tenants_whose_worker_died_are_closed(tenant_env: TenantEnv) -> None:
    dead = [tenant_env.begin(), tenant_env.begin(context=context_of(tenant=OTHER_TENANT))]
    tenant_env.clock.advance(SLOT_LEASE_SECONDS + 2)
    alive = tenant_env.begin()
    assert sweep(tenant_env) == {"looked_at": 3, "closed": 2, "returned": 0, "failed": 0}
    for tenant, turn in zip((tenant_env.table().tenant_id, OTHER_TENANT), dead, strict=True):
        run = tenant_env.runs(tenant).get(turn.run.id)
        assert run is not None
        assert (run.status, run.is_open) == ("failed", False)
    assert tenant_env.run_service().get(alive.run.id).is_open
    assert sweep(tenant_env) == {"looked_at": 1, "closed": 0, "returned": 0, "failed": 0}


def test_what_cannot_be_closed_is_logged_without_its_text(
    tenant_env: TenantEnv, caplog: pytest.LogCaptureFixture
) -> None:
    run = tenant_env.begin().run
    tenant_env.table().write(Update(keys.run(run.id), "SET #question = :broken", EXISTS, {"broken": b"private words"}))
    tenant_env.clock.advance(SLOT_LEASE_SECONDS + 2)
    assert sweep(tenant_env) == {"looked_at": 1, "closed": 0, "returned": 0, "failed": 1}
    (told,) = [record.__dict__ for record in caplog.records if record.levelname == "ERROR"]
    assert (told["tenant_id"], told["run_id"], told["error"]) == (tenant_env.table().tenant_id, run.id, "error")
    assert "private words" not in str([record.__dict__ for record in caplog.records])
