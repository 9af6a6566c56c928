"""The door to a new session: under which limits it is counted, read in one batch with the agent that it names."""

from atrium.agent.wave import Wave
from atrium.bootstrap import Runtime
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import AgentId, is_id
from atrium.quotas.beginning import SessionDoor
from atrium.quotas.store import AdmissionStore
from atrium.quotas.terms import CEILING_DEFAULT
from atrium.tenants.context import TenantContext


def open_door(runtime: Runtime, context: TenantContext, agent_id: str | None) -> tuple[SessionDoor, AgentId | None]:
    """Return the door, and the agent's id; `NotFound` if the tenant has no such agent.

    The limits are the tenant's, the caller's own and, where the session is to have an agent, that agent's.
    """
    wanted = AgentId(agent_id) if agent_id is not None and is_id(agent_id, "agt") else None
    table = runtime.tenant_table(context.tenant_id)
    read = Wave(context, wanted, None).read(table)
    if agent_id is not None and read.agent is None:
        raise NotFound("there is no such agent")
    store = AdmissionStore(table, runtime.clock)
    return SessionDoor(store, read.terms(CEILING_DEFAULT), read.subjects(read.agent), read.admission), wanted
