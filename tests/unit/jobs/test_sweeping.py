"""The sweeper releases or settles the slots of killed workers, with and without a recorded run."""

from typing import Any

import pytest
from atrium.jobs.sweeping import SLOT_GRACE_SECONDS
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import KeyId, SessionId
from atrium.llm.model import Usage
from atrium.quotas.limits import DEFINITIONS
from atrium.quotas.model import SLOT_LEASE_SECONDS, LimitName
from atrium.storage import keys
from atrium.storage.writes import ANY, Update

from tests.builders.counters import admission_item, counted, held
from tests.builders.scripted import calls
from tests.builders.tenant_env import OWNER, TenantEnv, session_id_of
from tests.builders.wires import Kill, Killed, Send

LONG = SLOT_LEASE_SECONDS + SLOT_GRACE_SECONDS + 3


def die_after_admission(tenant_env: TenantEnv, session_id: SessionId | None = None) -> None:
    """Start a turn that is killed after its admission and before its run is recorded."""
    tenant_env.clock.advance(1)
    reads = 2 if session_id else 1
    with tenant_env.intercepted(Kill(reads, applied=True)), pytest.raises(Killed):
        tenant_env.begin("lost", session_id=session_id)
    assert len(held(tenant_env)) == 1


@pytest.mark.parametrize("writes", range(3))
def test_releases_the_slots_of_a_key(tenant_env: TenantEnv, writes: int) -> None:
    """The turn is killed after the batch read, or after the write to the key's item or the tenant's item."""
    tenant_env.talk("first")
    limit_key(tenant_env, requests_per_day=3, cost_per_month=1_000_000_000)
    tenant_env.clock.advance(1)
    with tenant_env.intercepted(Kill(writes, applied=True)), pytest.raises(Killed):
        tenant_env.begin("lost")
    taken = [len(admission_item(tenant_env, scope_id=OWNER).slots), len(held(tenant_env))]
    assert taken == [[0, 0], [1, 0], [1, 1]][writes]
    tenant_env.clock.advance(LONG)
    assert tenant_env.sweep().returned == sum(taken)
    assert (admission_item(tenant_env, scope_id=OWNER).slots, held(tenant_env)) == ({}, [])
    tenant_env.talk("again")
    assert used(tenant_env, "requests_per_day") == 1


def test_settles_the_key_of_a_worker_that_died_in_a_turn(tenant_env: TenantEnv) -> None:
    limit_key(tenant_env, tokens_per_month=900_000)
    turn = tenant_env.begin()
    tenant_env.clock.advance(LONG)
    assert tenant_env.sweep().closed == 1
    entry = tenant_env.entry_of(turn.run.id)
    assert (admission_item(tenant_env, scope_id=OWNER).slots, entry.estimated) == ({}, True)
    assert set(entry.admitted) == {OWNER, ""}
    assert used(tenant_env, "tokens_per_month") == entry.total_tokens
    assert counted(tenant_env, "tokens_per_month") == entry.total_tokens > 0


def limit_key(tenant_env: TenantEnv, **limits: int) -> None:
    tenant_env.table().write(Update(keys.api_key(KeyId(OWNER)), "SET #limits = :limits", ANY, {"limits": limits}))


def used(tenant_env: TenantEnv, limit: LimitName) -> int:
    return admission_item(tenant_env, scope_id=OWNER).used(DEFINITIONS[limit])


def marks(tenant_env: TenantEnv) -> list[str]:
    return [item["sk"]["S"] for item in tenant_env.items("ADMISSION") if "sweep_pk" in item]


def test_releases_a_slot_without_a_run_and_its_reservation(tenant_env: TenantEnv) -> None:
    session_id = session_id_of(tenant_env.talk("first"))
    before = [counted(tenant_env, name) for name in ("requests_per_day", "tokens_per_month", "cost_per_month")]
    die_after_admission(tenant_env, session_id)
    tenant_env.clock.advance(SLOT_LEASE_SECONDS)
    assert (tenant_env.sweep().returned, len(held(tenant_env))) == (0, 1), "its worker may still record its run"
    tenant_env.clock.advance(LONG)
    assert (tenant_env.sweep().returned, held(tenant_env)) == (1, [])
    assert [counted(tenant_env, name) for name in ("requests_per_day", "tokens_per_month", "cost_per_month")] == before


def test_settles_a_slot_to_the_ledger_entry_of_its_run(tenant_env: TenantEnv) -> None:
    """The worker is killed after it wrote the ledger entry, and the session is deleted with its run."""
    turn = tenant_env.begin()
    recorded: list[str] = []

    def die_when_recorded(operation: str, _arguments: object, send: Send) -> Any:
        if recorded:
            raise Killed
        recorded.extend([operation] if operation == "PutItem" else [])
        return send()

    with tenant_env.intercepted(die_when_recorded), pytest.raises(Killed):
        list(turn.events())
    tenant_env.session_service().delete(turn.run.session_id, undelete_days=0)
    tenant_env.clock.advance(LONG)
    assert (tenant_env.sweep().returned, held(tenant_env)) == (1, [])
    entry = tenant_env.entry_of(turn.run.id)
    assert counted(tenant_env, "tokens_per_month") == entry.total_tokens > 0
    assert counted(tenant_env, "cost_per_month") == entry.cost_nanos > 0
    assert counted(tenant_env, "requests_per_day") == 1


def test_keeps_the_slot_of_an_open_run(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin()
    tenant_env.clock.advance(LONG)
    tenant_env.runs().renew(turn.run.id, now=tenant_env.clock(), spend=turn.loop.spend)
    assert (tenant_env.sweep().returned, len(held(tenant_env))) == (0, 1)
    list(turn.events())
    assert held(tenant_env) == []


def test_a_slot_that_cannot_be_read_does_not_keep_the_others(tenant_env: TenantEnv) -> None:
    lost = tenant_env.begin().run
    values = {"text": "no slot"}
    tenant_env.table().write(Update(keys.admission(""), "SET #slots.#00 = :text, #slots.#zz = :text", ANY, values))
    tenant_env.clock.advance(LONG)
    report = tenant_env.sweep()
    assert (report.looked_at, report.closed, report.failed) == (3, 1, 2)
    closed = tenant_env.runs().get(lost.id)
    assert closed is not None
    assert not closed.is_open


def test_an_item_is_in_the_sweep_index_while_it_has_slots(tenant_env: TenantEnv) -> None:
    turn = tenant_env.begin()
    assert len(marks(tenant_env)) == 1
    tenant_env.sweep()
    assert len(marks(tenant_env)) == 1
    list(turn.events())
    tenant_env.sweep()
    assert marks(tenant_env) == []
    tenant_env.talk("again")
    assert len(marks(tenant_env)) == 1


def test_closes_a_run_with_its_existing_ledger_entry(tenant_env: TenantEnv) -> None:
    tenant_env.model.say("One.", calls("calculator", expression="1"))
    turn = tenant_env.begin()
    entered: list[bool] = []

    def fail_after_the_entry(_operation: str, arguments: object, send: Send) -> Any:
        if entered:
            raise Unavailable(internal="of the test")
        entered.extend([True] if "#LEDGER#" in str(arguments) else [])
        return send()

    with tenant_env.intercepted(fail_after_the_entry):
        events = list(turn.events())
    tenant_env.clock.advance(LONG)
    tenant_env.sweep()
    run = tenant_env.run_of(events)
    assert (run.spend.tokens, tenant_env.entry_of(run.id).estimated) == (Usage(200, 40), False)
    assert run.spend.tool_calls == {"calculator": 1}
