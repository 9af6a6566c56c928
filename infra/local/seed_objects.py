"""Writes the objects of `seeds` into a new stack's table with the stores that the functions use."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from atrium.agent.model import AgentConfig
from atrium.agent.store import AgentStore
from atrium.audit.model import Origin
from atrium.audit.service import AuditService
from atrium.audit.store import AuditStore
from atrium.datasets.content import read_content
from atrium.datasets.image import build_image
from atrium.datasets.model import Dataset
from atrium.datasets.store import DatasetStore
from atrium.files.model import Content, make_file, read_path
from atrium.files.store import FileStore
from atrium.identity.clients.model import Client
from atrium.identity.clients.secret import digest_secret
from atrium.identity.clients.store import ClientStore
from atrium.identity.key_format import mint_key, show_prefix
from atrium.identity.keys.model import ApiKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.providers.model import IdentityProvider
from atrium.identity.providers.store import IdentityProviderStore, IssuerRegistry, Place
from atrium.identity.scopes import KEY_SCOPES_DEFAULT
from atrium.identity.social.model import SocialClient
from atrium.identity.social.store import SocialClientStore
from atrium.identity.users.model import User
from atrium.identity.users.passwords import hash_password
from atrium.identity.users.store import UserStore
from atrium.kernel.clock import read_clock
from atrium.kernel.ids import (
    AgentId,
    ClientId,
    DatasetId,
    IdentityProviderId,
    KeyId,
    MessageId,
    PolicyId,
    PromptId,
    RoutingRuleId,
    RunId,
    SessionId,
    TenantId,
    ToolId,
    UserId,
    own_ulid,
)
from atrium.llm.catalogue import DEFAULT_MODEL
from atrium.llm.model import Text, Usage
from atrium.policy.model import Policy
from atrium.policy.store import PolicyStore
from atrium.prompts.model import Prompt, PromptVersion, Variable
from atrium.prompts.store import PromptStore
from atrium.routing.model import RoutingConditions, RoutingRule, WeightedModel
from atrium.routing.store import RoutingRuleStore
from atrium.runs.model import Message, Outcome, Run, RunEvent, Spend
from atrium.runs.store import RunStore
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore
from atrium.storage.blobs import TenantBlobs
from atrium.storage.secrets import Secrets
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable
from atrium.storage.writes import Put
from atrium.tenants.model import UNDELETE_DAYS_DEFAULT
from atrium.tenants.registry import TenantRegistry
from atrium.tools.http.model import RequestTemplate, ToolDefinition
from atrium.tools.http.store import HttpToolStore

from infra.local import seeds

_AUDIT_DAYS = 7
_RETURN_ADDRESS = "http://127.0.0.1:8080/docs"


def claim_tenant_ids(table: PhysicalTable, names: dict[str, str]) -> None:
    """Claim the names of tenants with fixed ids. A tenant created later with such a name has the claimed id."""
    registry, now = TenantRegistry(PlatformTable(table)), read_clock()
    for name, tenant_id in names.items():
        registry.claim(name, TenantId(tenant_id), replacing=None, registered_at=now)


def write_objects(table: PhysicalTable, blobs: TenantBlobs, secrets: Secrets) -> None:
    """Write the objects of the tenant `seeds.ACME`, which must already exist."""
    writer = _Writer(TenantTable(table, TenantId(seeds.ACME)), PlatformTable(table), blobs, secrets, read_clock())
    writer.write_users()
    writer.write_keys()
    writer.write_agents()
    writer.write_clients()
    writer.write_policies()
    writer.write_datasets()
    writer.write_providers()
    writer.write_tools()
    writer.write_rules()
    writer.write_prompts()
    writer.write_sessions()
    writer.write_files()


@dataclass(frozen=True)
class _Writer:
    table: TenantTable
    platform: PlatformTable
    blobs: TenantBlobs
    secrets: Secrets
    now: datetime

    def write_users(self) -> None:
        password_hash = hash_password(seeds.PASSWORD)
        people = (
            (seeds.ADA, seeds.ADA_EMAIL, "Ada Lovelace"),
            (seeds.LIN, seeds.LIN_EMAIL, "Lin Lanying"),
            (seeds.GRACE, "grace@acme.example", "Grace Hopper"),
            (seeds.BOB, "bob@acme.example", "Bob Example"),
        )
        for user_id, email, name in people:
            user = User(
                id=UserId(user_id),
                tenant_id=self.table.tenant_id,
                email=email,
                role="user",
                status="active",
                created_at=self.now,
                updated_at=self.now,
                name=name,
                password_hash=password_hash,
            )
            UserStore(self.table).create(user, self._record("user.create", user_id))

    def write_keys(self) -> None:
        pepper = self.secrets.peppers("api_key").current()
        names = {
            seeds.KEY: "reports",
            seeds.KEY_TO_ROTATE: "to rotate",
            seeds.KEY_TO_REVOKE: "to revoke",
            seeds.KEY_TO_DELETE: "to delete",
        }
        for key_id, name in names.items():
            text, said = mint_key("dev", KeyId(key_id), self.table.tenant_id)
            key = ApiKey(
                id=KeyId(key_id),
                tenant_id=self.table.tenant_id,
                name=name,
                scopes=KEY_SCOPES_DEFAULT,
                prefix=show_prefix(text),
                digest=said.digest(pepper.value),
                pepper_version=pepper.version,
                created_at=self.now,
                updated_at=self.now,
            )
            KeyStore(self.table).create(key, self._record("key.create", key_id))

    def write_agents(self) -> None:
        for agent_id, name in ((seeds.AGENT, "support"), (seeds.AGENT_TO_DELETE, "to delete")):
            agent = AgentConfig(
                id=AgentId(agent_id),
                name=name,
                provider="anthropic",
                model=DEFAULT_MODEL,
                created_at=self.now,
                updated_at=self.now,
                system_prompt="You answer questions about our product.",
            )
            AgentStore(self.table).create(agent, self._record("agent.create", agent_id), make_default=False)

    def write_clients(self) -> None:
        pepper = self.secrets.peppers("client_secret").current()
        names = {seeds.CLIENT: "reports", seeds.CLIENT_TO_ROTATE: "to rotate", seeds.CLIENT_TO_DELETE: "to delete"}
        for client_id, name in names.items():
            client = Client(
                id=ClientId(client_id),
                tenant_id=self.table.tenant_id,
                name=name,
                type="confidential",
                redirect_uris=(),
                grant_types=("client_credentials",),
                scopes=KEY_SCOPES_DEFAULT,
                created_at=self.now,
                updated_at=self.now,
                digest=digest_secret(pepper, ClientId(client_id), seeds.CLIENT_SECRET),
                pepper_version=pepper.version,
            )
            ClientStore(self.table).create(client, [self._record("client.create", client_id)])

    def write_policies(self) -> None:
        for policy_id, name in ((seeds.POLICY, "viewers do not calculate"), (seeds.POLICY_TO_DELETE, "to delete")):
            policy = Policy(
                id=PolicyId(policy_id),
                name=name,
                effect="deny",
                principals=("role:viewer",),
                actions=("execute",),
                resources=("tool:calculator",),
                created_at=self.now,
                updated_at=self.now,
            )
            PolicyStore(self.table).create(policy, self._record("policy.create", policy_id))

    def write_tools(self) -> None:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        for tool_id, name in ((seeds.TOOL, "population"), (seeds.TOOL_TO_DELETE, "old_population")):
            tool = ToolDefinition(
                id=ToolId(tool_id),
                name=name,
                description="Return the population of a city.",
                input_schema=schema,
                http=RequestTemplate("GET", "https://cities.acme.example/{city}/population"),
                effect="pure",
                permission="read",
                created_at=self.now,
                updated_at=self.now,
            )
            HttpToolStore(self.table).create(tool, self._record("tool.create", tool_id))

    def write_rules(self) -> None:
        when, models = RoutingConditions(complexity="high", plans=["enterprise"]), (WeightedModel(model=DEFAULT_MODEL),)
        for rule_id, name in ((seeds.RULE, "hard questions"), (seeds.RULE_TO_DELETE, "old rule")):
            rule = RoutingRule(RoutingRuleId(rule_id), name, models, self.now, self.now, priority=20, when=when)
            RoutingRuleStore(self.table).create(rule, self._record("routing_rule.create", rule_id))

    def write_prompts(self) -> None:
        template, variables = "You answer questions about {{ topic }}.", (Variable("topic", required=True),)
        for prompt_id, name in ((seeds.PROMPT, "desk"), (seeds.PROMPT_TO_DELETE, "old_desk")):
            newest = PromptVersion(PromptId(prompt_id), 1, template, variables, self.now)
            prompt = Prompt(newest.prompt_id, name, newest, self.now, self.now)
            PromptStore(self.table).create(prompt, self._record("prompt.create", prompt_id))

    def write_datasets(self) -> None:
        text = "city,amount\nRome,120.5\nOslo,80\nRome,19.5\n"
        content = read_content("csv", text)
        for dataset_id, name in ((seeds.DATASET, "orders"), (seeds.DATASET_TO_DELETE, "to_delete")):
            dataset = Dataset(
                id=DatasetId(dataset_id),
                name=name,
                description="Orders of the last week.",
                format="csv",
                columns=content.columns,
                row_count=content.row_count,
                bytes=len(text),
                readers=(),
                created_at=self.now,
                updated_at=self.now,
            )
            record = self._record("dataset.create", dataset_id)
            DatasetStore(self.table, self.blobs).create(dataset, build_image(name, content), record)

    def write_providers(self) -> None:
        for provider_id, name in ((seeds.PROVIDER, "login"), (seeds.PROVIDER_TO_DELETE, "old-login")):
            provider = IdentityProvider(
                id=IdentityProviderId(provider_id),
                name=name,
                issuer=f"https://{name}.acme.example",
                audience=f"atrium-{seeds.ACME}",
                created_at=self.now,
                updated_at=self.now,
            )
            place = Place(self.table.tenant_id, provider.id)
            IssuerRegistry(self.platform).claim(provider.issuer, provider.audience, place)
            record = self._record("identity_provider.create", provider_id)
            IdentityProviderStore(self.table).create(provider, record)
        slack = SocialClient(
            id=IdentityProviderId(seeds.SLACK),
            provider="slack",
            name="slack",
            redirect_uris=(_RETURN_ADDRESS,),
            created_at=self.now,
            updated_at=self.now,
            client_id="local-client",
        )
        SocialClientStore(self.table).create(slack, self._record("identity_provider.create", slack.id))

    def write_sessions(self) -> None:
        run_id, store = RunId(seeds.RUN), SessionStore(self.table)
        titles = {
            seeds.SESSION: "Arithmetic",
            seeds.SESSION_TO_DELETE: "to delete",
            seeds.SESSION_TO_RESTORE: "to restore",
        }
        for session_id, title in titles.items():
            with_run = session_id == seeds.SESSION
            session = Session(
                id=SessionId(session_id),
                owner=seeds.ADA,
                title=title,
                agent_id=None,
                end_user="",
                metadata={},
                message_count=2 if with_run else 0,
                turn_count=int(with_run),
                created_at=self.now,
                updated_at=self.now,
                last_active_at=self.now,
                last_run_ulid=own_ulid(run_id) if with_run else "",
            )
            store.create(session)
        until = self.now + timedelta(days=UNDELETE_DAYS_DEFAULT)
        store.hide(SessionId(seeds.SESSION_TO_RESTORE), now=self.now, until=until)
        self._write_run(run_id)

    def write_files(self) -> None:
        for path in (seeds.FILE, seeds.FILE_TO_DELETE):
            content = Content(b"# Returns\n\nGoods can be returned within 30 days.\n", "text/markdown")
            file = make_file(read_path(path), content, seeds.ADA, self.now)
            self.blobs.put(file.reference, content.data, content_type=content.type)
            FileStore(self.table).put(file, None, ())

    def _write_run(self, run_id: RunId) -> None:
        """Write a finished turn, with the items that `POST /v1/chat` writes if the model calls no tools."""
        question, answer = "What is 6*7?", "6*7 is 42."
        said, told = (MessageId(f"msg_{own_ulid(run_id)[:-1]}{number}") for number in range(2))
        run = Run(
            id=run_id,
            owner=seeds.ADA,
            agent_id=AgentId(seeds.AGENT),
            provider="anthropic",
            model=DEFAULT_MODEL,
            status="running",
            question=Message(said, "user", (Text(question),), self.now),
            started_at=self.now,
            lease_until=self.now,
        )
        outcome = Outcome(
            status="succeeded",
            stop_reason="end_turn",
            spend=Spend(Usage(input_tokens=12, output_tokens=8)),
            messages=(Message(told, "assistant", (Text(answer),), self.now),),
            tail=(RunEvent(2, "text", {"content": answer}),),
            last_sequence=2,
            iterations=1,
        )
        store = RunStore(self.table, self.blobs)
        store.open(run)
        store.end(run_id, outcome, at=self.now)

    def _record(self, action: str, resource: str) -> Put:
        audit = AuditService(AuditStore(self.table), Origin("platform:seed"), _AUDIT_DAYS, lambda: self.now)
        return audit.recording("admin.change", {"action": action, "resource": resource})
