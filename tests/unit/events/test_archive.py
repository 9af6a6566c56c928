"""The handler of the archiver: the tenants whose sessions it archives, in which order, and what it logs."""

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest
from atrium.kernel.ids import SessionId, TenantId
from atrium.settings import Settings, SettingsInvalid
from atrium.storage import keys
from atrium.storage.table import PlatformTable
from atrium.storage.writes import EXISTS, Update
from atrium.tenants.registry import TenantRegistry

from functions.events.archive import RESERVE_MS, archive_sessions
from tests.builders.archives import IDLE_FOR
from tests.builders.runtimes import build_runtime
from tests.builders.tenant_env import OTHER_TENANT, TENANT, TenantEnv, context_of, run_id_of, session_id_of
from tests.builders.wires import Recorder

NOTHING = {"runs": 0, "segments": 0, "bytes": 0, "failed": 0}


def time_for(questions: int) -> Callable[[], int]:
    """Return a remaining time that is over after this number of questions."""
    left: Iterator[int] = chain(repeat(2 * RESERVE_MS, questions), repeat(RESERVE_MS))
    return lambda: next(left)


def run(tenant_env: TenantEnv, questions: int = 1_000, *, idle: str = "7200") -> dict[str, int]:
    source = build_runtime({"ARCHIVE_IDLE_SECONDS": idle}, table=tenant_env.physical, clock=tenant_env.clock)()
    source.__dict__["bucket"] = tenant_env.bucket
    return archive_sessions(source, time_for(questions))


@pytest.fixture
def registered(tenant_env: TenantEnv) -> TenantEnv:
    """Two registered tenants, each with three idle sessions of one turn."""
    for tenant in (TENANT, OTHER_TENANT):
        registry = TenantRegistry(PlatformTable(tenant_env.physical))
        registry.claim(f"name of {tenant}", tenant, replacing=None, registered_at=tenant_env.clock())
        for _ in range(3):
            tenant_env.talk(context=context_of(tenant=tenant))
    tenant_env.clock.now += IDLE_FOR
    return tenant_env


def archived(tenant_env: TenantEnv) -> dict[TenantId, int]:
    """Return the number of segments of each tenant."""
    return {tenant: len([name for name in tenant_env.blobs() if tenant in name]) for tenant in (TENANT, OTHER_TENANT)}


def test_sessions_of_all_tenants_are_archived(registered: TenantEnv) -> None:
    report = run(registered)
    assert report | {"bytes": 0} == {"runs": 6, "segments": 6, "bytes": 0, "failed": 0}
    assert archived(registered) == {TENANT: 3, OTHER_TENANT: 3}
    assert run(registered) == NOTHING


def test_a_tenant_without_work_costs_two_reads(registered: TenantEnv) -> None:
    run(registered)
    recorder = Recorder()
    with registered.intercepted(recorder):
        run(registered)
    assert recorder.operations == ["GetItem", "Query", *["BatchGetItem", "Query"] * 2]


def test_the_next_invocation_continues_with_the_next_tenant(
    registered: TenantEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atrium.sessions.archiving._SESSIONS", 1)
    one_tenant = 3  # questions: whether to begin a round, to read tenants, and to archive one of them
    counts = []
    for _ in range(4):
        run(registered, one_tenant)
        counts.append(tuple(archived(registered).values()))
    assert counts == [(1, 0), (1, 1), (2, 1), (2, 2)]
    run(registered)
    assert archived(registered) == {TENANT: 3, OTHER_TENANT: 3}


def test_nothing_is_archived_if_the_idle_time_is_0(registered: TenantEnv) -> None:
    recorder = Recorder()
    with registered.intercepted(recorder):
        assert run(registered, idle="0") == {}
    assert recorder.operations == []


@pytest.mark.parametrize("seconds", ["1", "599", "-1", "1.5", "10000000"])
def test_rejects_an_invalid_idle_time(seconds: str) -> None:
    with pytest.raises(SettingsInvalid):
        Settings.read({"ARCHIVE_IDLE_SECONDS": seconds})


def test_what_cannot_be_archived_is_logged_without_its_text(
    registered: TenantEnv, caplog: pytest.LogCaptureFixture
) -> None:
    events = registered.talk("last")
    registered.clock.now += IDLE_FOR
    broken = Update(keys.run(run_id_of(events)), "SET #question = :broken", EXISTS, {"broken": b"private words"})
    registered.table().write(broken)
    assert run(registered)["runs"] == 6
    told = {(each["tenant_id"], each["session_id"], each["error"]) for each in errors(caplog)}
    assert told == {(TENANT, SessionId(session_id_of(events)), "error")}
    assert "private words" not in str(errors(caplog))


def test_a_tenant_that_fails_does_not_stop_the_others(registered: TenantEnv, caplog: pytest.LogCaptureFixture) -> None:
    registered.table().write(Update(keys.archive(), "SET #pending = :broken", "", {"broken": "x"}))
    report = run(registered)
    assert (report["runs"], report["failed"]) == (3, 1)
    assert [(each["tenant_id"], each["error"]) for each in errors(caplog)] == [(TENANT, "TypeError")]


def errors(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [record.__dict__ for record in caplog.records if record.levelname == "ERROR"]
