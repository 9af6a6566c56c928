"""The stores, services and turns of a tenant, on a table and a bucket, with a scripted model."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from atrium.agent.admission import TurnAdmission
from atrium.agent.context import TurnContextReader
from atrium.agent.model import AgentConfig, TurnRequest
from atrium.agent.service import AgentService, default_agent
from atrium.agent.starting import TurnStarter
from atrium.agent.store import AgentStore
from atrium.agent.turn import Turn, TurnService
from atrium.egress.client import EgressClient
from atrium.identity.connections.store import ConnectionStore
from atrium.identity.connections.tokens import ConnectionTokens
from atrium.identity.social.service import ClientKeeper
from atrium.identity.social.store import SocialClientStore
from atrium.jobs.resuming import RunResumer
from atrium.jobs.sweeping import Sweep, SweepReport
from atrium.kernel.clock import format_time
from atrium.kernel.errors import LimitReached
from atrium.kernel.ids import AgentId, RunId, SessionId, TenantId
from atrium.kernel.pagination import Page, PageRequest
from atrium.llm.model import Content, Text
from atrium.llm.resilience import CircuitBreaker, ResilientProvider
from atrium.policy.guard import PolicyCache, PolicyGuard
from atrium.policy.outbound import OutboundGuard
from atrium.prompts.turns import PromptCache
from atrium.quotas.service import QuotaService
from atrium.routing.choosing import ModelRouter
from atrium.routing.service import TurnRouter
from atrium.runs.model import Message, Run, RunEvent
from atrium.runs.replay import Replay
from atrium.runs.service import RunService
from atrium.runs.store import RunStore
from atrium.sessions.finalizing import RunFinalizer
from atrium.sessions.service import SessionService
from atrium.sessions.store import SessionStore
from atrium.storage import keys
from atrium.storage.blobs import Bucket, TenantBlobs
from atrium.storage.secret_encryption import MasterKey, SecretEncryption
from atrium.storage.sweep import list_swept
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.storage.writes import ANY, EXISTS, Put, Update
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import Caller, Principal, PrincipalType, TenantContext
from atrium.tenants.plans import PlanName
from atrium.tools.http.service import HttpToolCache
from atrium.tools.model import ToolServices
from atrium.tools.registry import BUILT_IN, GuardedTools, ToolRegistry
from atrium.tools.search_provider import WebSearch
from atrium.usage.model import LedgerEntry
from atrium.usage.store import LedgerStore
from moto import mock_aws

from infra.runtime.resources import local_session
from tests.builders.gateway import KEY_ID, OTHER_TENANT_ID, TENANT_ID
from tests.builders.quick_moto import moto_client
from tests.builders.runtimes import TurnedClock
from tests.builders.scripted import ScriptedModel
from tests.builders.sessions import begin_session
from tests.builders.wires import Intercept, intercepted, serialised

TENANT = TenantId(TENANT_ID)
OTHER_TENANT = TenantId(OTHER_TENANT_ID)
OWNER = KEY_ID
OTHER_OWNER = "usr_01k6r5m2x8f3v9q4w7t1y0z5af"
SCOPES = frozenset({"chat", "sessions:read", "sessions:write"})


@contextmanager
def open_bucket(on_moto: bool) -> Iterator[Bucket]:
    """Yield an empty bucket on moto. If the table is not on moto, calls to DynamoDB are not intercepted."""
    mocked = mock_aws(config=None if on_moto else {"core": {"passthrough": {"services": ["dynamodb"]}}})
    with mocked, moto_client("s3") as client:
        client.create_bucket(Bucket="blobs", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield Bucket(client, "blobs")


def context_of(
    owner: str = OWNER, *, tenant: TenantId = TENANT, plan: PlanName = "pro", scopes: frozenset[str] = SCOPES
) -> TenantContext:
    kind: PrincipalType = "user" if owner.startswith("usr_") else "client" if owner.startswith("cli_") else "key"
    return TenantContext(tenant, "acme", plan, 1, Caller(Principal(kind, owner, "somebody", scopes), "request-1"))


ADMIN = context_of("usr_01k6r5m2x8f3v9q4w7t1y0z5ag", scopes=frozenset({"admin"}))


@dataclass
class TenantEnv:
    """Tenants on a table and a bucket. The default of each `tenant` parameter is the first tenant.

    `defects` contains the errors that turns reported, `woken` the runs that the sweeper left to another worker.
    """

    physical: PhysicalTable
    bucket: Bucket
    clock: TurnedClock = field(default_factory=TurnedClock)
    model: ScriptedModel = field(default_factory=ScriptedModel)
    tools: ToolRegistry = field(default_factory=ToolRegistry)
    defects: list[BaseException] = field(default_factory=list)
    refusals: list[LimitReached] = field(default_factory=list)
    woken: list[RunId] = field(default_factory=list)
    default_agents: dict[TenantId, AgentId] = field(default_factory=dict)
    policies: PolicyCache = field(default_factory=PolicyCache)
    egress: EgressClient = field(default_factory=EgressClient)
    http_tools: HttpToolCache = field(default_factory=HttpToolCache)
    prompts: PromptCache = field(default_factory=PromptCache)
    master_key: MasterKey | None = None
    web_search: WebSearch | None = None
    provider_url: str = ""
    while_waiting: Callable[[], object] = lambda: None

    def table(self, tenant: TenantId = TENANT) -> TenantTable:
        return TenantTable(self.physical, tenant)

    def runs(self, tenant: TenantId = TENANT) -> RunStore:
        return RunStore(self.table(tenant), TenantBlobs(self.bucket, tenant))

    def sessions(self, tenant: TenantId = TENANT) -> SessionStore:
        return SessionStore(self.table(tenant))

    def ledger(self, tenant: TenantId = TENANT) -> LedgerStore:
        return LedgerStore(self.table(tenant))

    def agents(self, context: TenantContext = ADMIN) -> AgentService:
        store = AgentStore(self.table(context.tenant_id))
        return AgentService(context, store, self.clock, self.guard(context).audit, BUILT_IN)

    def finalizer(self, tenant: TenantId = TENANT) -> RunFinalizer:
        quotas, runs = self.quotas(tenant), self.runs(tenant)
        return RunFinalizer(runs, self.sessions(tenant), self.ledger(tenant), quotas, self.clock, self.woken.append)

    def quotas(self, tenant: TenantId = TENANT) -> QuotaService:
        return QuotaService(self.table(tenant), self.clock, pause=self.pause)

    def session_service(self, context: TenantContext | None = None) -> SessionService:
        caller = context or context_of()
        tenant = caller.tenant_id
        end_run = self.finalizer(tenant).close_expired
        audit = open_audit(caller, self.table(tenant), self.clock)
        return SessionService(caller, self.sessions(tenant), self.runs(tenant), self.clock, audit, end_run)

    def run_service(self, context: TenantContext | None = None) -> RunService:
        caller = context or context_of()
        return RunService(caller, self.runs(caller.tenant_id))

    def guard(self, context: TenantContext) -> PolicyGuard:
        table = self.table(context.tenant_id)
        audit = open_audit(context, table, self.clock)
        return PolicyGuard(context, table, self.policies, self.clock, audit)

    def services(self, context: TenantContext) -> ToolServices:
        tenant, outbound = context.tenant_id, OutboundGuard(self.egress, self.guard(context))
        table, blobs = self.table(tenant), TenantBlobs(self.bucket, tenant)
        tokens = self.connection_tokens
        return ToolServices(
            context, table, blobs, outbound, lambda: self.encryption(tenant),
            lambda provider: tokens(context).access_token(provider), self.web_search,
        )  # fmt: skip

    def connection_tokens(self, context: TenantContext) -> ConnectionTokens:
        """Return the tokens of a caller's connections. The platform has no OAuth clients."""
        table, encryption = self.table(context.tenant_id), self.encryption(context.tenant_id)
        keeper = ClientKeeper(SocialClientStore(table), encryption, lambda _: ("", ""))
        store, url = ConnectionStore(table), self.provider_url
        return ConnectionTokens(context, store, keeper, self.egress, self.clock, url, self.pause)

    def encryption(self, tenant: TenantId = TENANT) -> SecretEncryption:
        """Return the encryption of a tenant's secrets, with a key of moto's KMS."""
        if self.master_key is None:
            client = local_session().client("kms")
            self.master_key = MasterKey(client, client.create_key()["KeyMetadata"]["KeyId"])
        return SecretEncryption(self.master_key, tenant)

    def turns(self, context: TenantContext | None = None, epoch: int = 0) -> TurnService:
        caller = context or context_of()
        tenant = caller.tenant_id
        runs, sessions = replace(self.runs(tenant), epoch=epoch), self.sessions(tenant)
        finalizer = replace(self.finalizer(tenant), runs=runs)
        guard, agents = self.guard(caller), AgentStore(self.table(tenant))
        reader = TurnContextReader(
            caller, agents, sessions, runs, self.default_agents, guard, self.clock,
            router=lambda: self.router, prompts=lambda: self.prompts,
        )  # fmt: skip
        starter = TurnStarter(
            context=caller,
            reader=reader,
            admission=TurnAdmission(finalizer.quotas, runs, self.clock, self.refusals.append),
            sessions=sessions,
            runs=runs,
            finalizer=finalizer,
            clock=self.clock,
            provider_for=lambda _: self.model,
            tools=GuardedTools(guard, self.tools.tools),
            services=self.services(caller),
            http_tools=self.http_tools,
            pause=self.pause,
        )
        return TurnService(reader, starter, self.defects.append)

    def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.while_waiting()

    def begin(self, message: str | Content = "Hi", *, context: TenantContext | None = None, **wishes: Any) -> Turn:
        """Start a turn. `wishes` are additional fields of the turn request."""
        content = (Text(message),) if isinstance(message, str) else message
        turn = self.turns(context).begin(TurnRequest(message=content, **wishes))
        turn.pause = self.pause
        return turn

    def talk(
        self, message: str | Content = "Hi", *, context: TenantContext | None = None, **wishes: Any
    ) -> list[RunEvent]:
        """Run a turn one second later, and return its events."""
        self.clock.advance(1)
        return list(self.begin(message, context=context, **wishes).events())

    def open_session(self, owner: str = OWNER) -> SessionId:
        self.clock.advance(1)
        return begin_session(self.session_service(context_of(owner)), self.clock).id

    def run_of(self, events: list[RunEvent]) -> Run:
        """Return the stored run to which the events of a turn belong."""
        run = self.runs().get(run_id_of(events))
        assert run is not None
        return run

    def entry_of(self, run_id: RunId) -> LedgerEntry:
        entry = self.ledger().get(run_id)
        assert entry is not None
        return entry

    def messages_of(self, session_id: SessionId, *, limit: int = 100) -> list[Message]:
        """Return all messages of a session, read in pages of `limit` messages."""
        found: list[Message] = []
        page: Page[tuple[Run, Message]] | None = None
        while page is None or page.position is not None:
            position = page.position if page else None
            page = self.session_service(ADMIN).list_messages(session_id, PageRequest(limit, position))
            assert len(page.items) <= limit
            found += [message for _, message in page.items]
        return found

    def replay(self, run_id: RunId, *, after: int = 0) -> list[RunEvent]:
        """Return the events that a client receives immediately when it reconnects after event `after`."""
        return list(Replay(self.runs(), run_id, after).read())

    def sweep(self) -> SweepReport:
        """Run the sweeper once, then resume the runs that it left to another worker."""
        report = Sweep(self.finalizer, lambda _swept, error: self.defects.append(error)).run(list_swept(self.physical))
        while self.woken:
            self.resume(self.woken.pop())
        return report

    def resumer(self, tenant: TenantId = TENANT) -> RunResumer:
        return RunResumer(self.finalizer(tenant), lambda _fields, _run_id, epoch: self.turns(epoch=epoch))

    def resume(self, run_id: RunId, tenant: TenantId = TENANT) -> list[RunEvent]:
        """Resume a run, like the worker, and return the events from then on."""
        turn = self.resumer(tenant).resume(run_id)
        if turn is None:
            return []
        turn.pause = self.pause
        return list(turn.events())

    def items(self, partition: str = "") -> list[dict[str, Any]]:
        """Return the raw items whose partition key contains a text, without audit events."""
        found = self.physical.client.scan(TableName=self.physical.name, ConsistentRead=True)["Items"]
        kept = (item for item in found if "#AUDIT#" not in str(item["pk"]["S"]))
        return [dict(item) for item in kept if partition in str(item["pk"]["S"])]

    def blobs(self) -> list[str]:
        return [str(each["Key"]) for each in self.bucket.client.list_objects_v2(Bucket="blobs").get("Contents", [])]

    def add_tenant(self, tenant: TenantId, plan: PlanName = "pro") -> AgentConfig:
        """Create a tenant and its default agent, like the platform function. Return the agent."""
        now = format_time(self.clock())
        item = {"id": tenant, "plan": plan, "status": "active", "config_version": 1, "token_version": 1}
        item |= {"settings": "{}", "created_at": now, "updated_at": now}
        self.table(tenant).write(Put(keys.tenant(), item, ANY))
        agent = default_agent(self.clock)
        AgentStore(self.table(tenant)).create(agent, make_default=True)
        return agent

    def configure(self, tenant: TenantId = TENANT, **attributes: Any) -> None:
        """Set attributes of a tenant's item, such as `plan` or `limits`."""
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in attributes)
        self.table(tenant).write(Update(keys.tenant(), expression, EXISTS, attributes))

    @cached_property
    def router(self) -> TurnRouter:
        """Return a router for which all models of the catalogue are served by the scripted model."""
        breaker = CircuitBreaker(PlatformTable(self.physical), self.clock)
        return TurnRouter(ModelRouter(lambda _: True, ResilientProvider(lambda _: self.model, breaker)), self.clock)

    @contextmanager
    def intercepted(self, intercept: Intercept) -> Iterator[None]:
        """Intercept the calls to the table and the bucket within the block."""
        with intercepted(self.physical.client, intercept), intercepted(self.bucket.client, intercept):
            yield


@contextmanager
def open_tenant_env(physical: PhysicalTable, *, on_moto: bool) -> Iterator[TenantEnv]:
    """Yield an environment with two tenants on an empty table."""
    with ExitStack() as stack:
        bucket = stack.enter_context(open_bucket(on_moto))
        stack.enter_context(serialised(physical.client, bucket.client))
        tenant_env = TenantEnv(physical, bucket)
        tenant_env.add_tenant(TENANT)
        tenant_env.add_tenant(OTHER_TENANT)
        yield tenant_env


def run_id_of(events: list[RunEvent]) -> RunId:
    return RunId(str(events[0].data["run_id"]))


def begin_again(tenant_env: TenantEnv, session_id: SessionId, **wishes: Any) -> Turn:
    """Start another turn of the session, one second later."""
    tenant_env.clock.advance(1)
    return tenant_env.begin("again", session_id=session_id, **wishes)


def head_of(tenant_env: TenantEnv, session_id: SessionId) -> Any:
    """Return the session. Assert that it exists."""
    head = tenant_env.sessions().get(session_id)
    assert head is not None
    return head


def texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]


def session_id_of(events: list[RunEvent]) -> SessionId:
    return SessionId(str(events[0].data["session_id"]))


def text_of(events: list[RunEvent]) -> str:
    return "".join(str(event.data["content"]) for event in events if event.type == "text")


def types_of(events: list[RunEvent]) -> list[str]:
    return [event.type for event in events]
