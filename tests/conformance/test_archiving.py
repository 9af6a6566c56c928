"""Archivers that race with turns, with each other and with deletions, on DynamoDB Local."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from atrium.kernel.errors import NotFound, SessionBusy
from atrium.kernel.ids import SessionId
from atrium.storage.table import PhysicalTable

from tests.builders.archives import archive, archiver, hot_runs, segments_of, told
from tests.builders.tenant_env import TENANT, TenantEnv, open_tenant_env, session_id_of

SESSIONS, ARCHIVERS, TURNS = 4, 3, 3


def race(*acts: Callable[[], object]) -> None:
    """Run all functions at the same time, in random order."""
    with ThreadPoolExecutor(len(acts)) as pool:
        for done in [pool.submit(act) for act in random.sample(acts, len(acts))]:
            done.result()


def talk(tenant_env: TenantEnv, session_id: SessionId) -> None:
    for number in range(TURNS):
        try:
            tenant_env.talk(f"meanwhile {number}", session_id=session_id)
        except (SessionBusy, NotFound):
            continue


def sweep(tenant_env: TenantEnv) -> None:
    for _ in range(TURNS):
        archiver(tenant_env).step()


@pytest.mark.parametrize("round_number", range(3))
def test_turns_archivers_and_deletions_race(dynamodb_table: PhysicalTable, round_number: int) -> None:
    with open_tenant_env(dynamodb_table, on_moto=False) as env:
        first = [session_id_of(env.talk(f"Hi {round_number}")) for _ in range(SESSIONS)]
        archive(env)
        for session_id in first:
            env.talk("again", session_id=session_id)
        deleted = session_id_of(env.talk("to be deleted"))
        archive(env)
        env.talk("again", session_id=deleted)
        env.clock.advance(10_000)
        turns = [lambda session_id=session_id: talk(env, session_id) for session_id in first]
        race(*turns, *[lambda: sweep(env)] * ARCHIVERS, lambda: env.session_service().delete(deleted, undelete_days=0))
        before = {session_id: told(env, session_id) for session_id in first}
        assert {len(messages) for messages in before.values()} == {2 * (2 + TURNS)}
        archive(env)
        for session_id in first:
            assert told(env, session_id) == before[session_id]
            assert hot_runs(env, session_id) == []
            assert len(segments_of(env, session_id)) == 1
        assert [name for name in env.blobs() if TENANT in name and deleted in name] == []
        assert [item for item in env.items(deleted) if "SESSION#" in str(item["pk"])] == []
