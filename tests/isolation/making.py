"""Functions that create the resources of a tenant, with routes if possible, otherwise with the domain's services."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from atrium.kernel.ids import SessionId
from atrium.storage.writes import NEW, Put
from atrium.usage.model import Arrival
from atrium.usage.store import encode_entry, ledger_key
from atrium.usage.sums import SumStore

from tests.builders.ledger import NOON, build_entry
from tests.builders.tenant_env import session_id_of

if TYPE_CHECKING:
    from tests.isolation.callers import Caller
    from tests.isolation.world import World

type Make = Callable[[World, Caller], str]


def create(path: str, field: str = "id") -> Make:
    """Return a function that creates a resource with a POST request of an administrator, and returns its id."""

    def make(world: World, caller: Caller) -> str:
        answer = world.send(world.administrator(caller), "POST", path, body=world.body_for(f"POST {path}", caller))
        assert answer.status in (200, 201, 202), f"POST {path}: {answer}"
        return str(answer.json[field])

    return make


def make_tenant(world: World, caller: Caller) -> str:
    return caller.tenant.id


def make_session(world: World, caller: Caller) -> str:
    """Create a session that contains the caller's secret, with usage on two days. Return its id."""
    session_id = session_id_of(world.tenant_env.talk(caller.secret, context=world.context(caller)))
    table = world.tenant_env.table(caller.tenant.id)
    for days in (0, 1):
        entry = build_entry(
            at=NOON - timedelta(days), tenant_id=caller.tenant.id, principal_id=caller.principal_id,
            session_id=session_id,
        )  # fmt: skip
        table.write(Put(ledger_key(entry.run_id), encode_entry(entry), NEW))
        SumStore(table).count([Arrival(entry, "1")])
    return session_id


def make_deleted_session(world: World, caller: Caller) -> str:
    """Create a session and delete it, so that it can be restored. Return its id."""
    session_id = make_session(world, caller)
    world.tenant_env.session_service(world.context(caller)).delete(SessionId(session_id), undelete_days=7)
    return session_id


def make_run(world: World, caller: Caller) -> str:
    """Start a turn of the caller in a new session, and return the id of its run, which can be cancelled."""
    world.tenant_env.clock.advance(1)
    return world.tenant_env.begin(caller.secret, context=world.context(caller)).run.id
