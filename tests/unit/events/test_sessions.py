"""The part of the sweeper that removes sessions: which it removes, what it counts, and what it logs."""

import pytest
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update

from functions.events.sessions import RESERVE_MS, sweep_sessions
from tests.builders.runtimes import build_runtime
from tests.builders.sweeping import DAY_SECONDS, set_settings
from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, context_of, session_id_of


def sweep(tenant_env: TenantEnv, remaining_ms: int = RESERVE_MS + 1) -> dict[str, int]:
    runtime = build_runtime(table=tenant_env.physical, clock=tenant_env.clock)()
    runtime.__dict__["bucket"] = tenant_env.bucket
    return sweep_sessions(runtime, lambda: remaining_ms)


def test_removes_the_sessions_of_all_tenants_in_the_time_that_it_has(tenant_env: TenantEnv) -> None:
    for tenant in (TENANT, OTHER_TENANT):
        session_id = session_id_of(tenant_env.talk(context=context_of(tenant=tenant)))
        tenant_env.session_service(context_of(tenant=tenant)).delete(session_id, undelete_days=1)
    assert sweep(tenant_env) == {"sessions_removed": 0, "sessions_expired": 0, "sessions_failed": 0}
    tenant_env.clock.advance(DAY_SECONDS + 1)
    assert sweep(tenant_env, RESERVE_MS)["sessions_removed"] == 0
    assert sweep(tenant_env)["sessions_removed"] == 2
    assert tenant_env.items("SESSION#") == []


def test_deletes_idle_sessions_in_the_minute_of_the_tenant(tenant_env: TenantEnv) -> None:
    set_settings(tenant_env, session_retention_days=1)
    session_id = session_id_of(tenant_env.talk())
    tenant_env.clock.advance(DAY_SECONDS + 60)
    counts = []
    for _ in range(60):
        tenant_env.clock.advance(60)
        counts.append(sweep(tenant_env)["sessions_expired"])
    assert sum(counts) == 1
    assert tenant_env.session_service().restore(session_id).id == session_id


def test_what_cannot_be_removed_is_logged_without_its_text(
    tenant_env: TenantEnv, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = session_id_of(tenant_env.talk())
    tenant_env.session_service().delete(session_id, undelete_days=1)
    broken = Update(keys.session(session_id), "SET #metadata = :broken", EXISTS, {"broken": "private words"})
    tenant_env.table().write(broken)
    tenant_env.clock.advance(DAY_SECONDS + 1)
    assert sweep(tenant_env)["sessions_failed"] == 1
    (told,) = [record.__dict__ for record in caplog.records if record.levelname == "ERROR"]
    assert (told["tenant_id"], told["error"]) == (TENANT, "JSONDecodeError")
    assert "private words" not in str([record.__dict__ for record in caplog.records])
