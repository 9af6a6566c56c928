"""Creates clients and services from the settings, once per container and on first use.

Each test creates a separate `Runtime`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

from atrium.kernel.clock import Clock, read_clock
from atrium.kernel.ids import AgentId, TenantId
from atrium.kernel.pagination import CursorSigner
from atrium.settings import Settings
from atrium.storage.blobs import Bucket, TenantBlobs
from atrium.storage.table import PhysicalTable, PlatformTable, TenantTable

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import CredentialsTypeDef

    from atrium.audit.bound import RefusalBound
    from atrium.egress.client import EgressClient
    from atrium.identity.social.profile import ProfileReader
    from atrium.llm.registry import Providers
    from atrium.llm.resilience import ResilientProvider
    from atrium.policy.guard import PolicyCache
    from atrium.prompts.turns import PromptCache
    from atrium.quotas.platform import PlatformLimit
    from atrium.routing.service import TurnRouter
    from atrium.storage.queues import RunQueue
    from atrium.storage.secret_encryption import MasterKey, SecretEncryption
    from atrium.storage.secrets import Secrets
    from atrium.storage.tenant_credentials import TenantCredentials
    from atrium.tenants.context import TenantContext
    from atrium.tenants.model_keys.opening import OpenKeys
    from atrium.tools.http.service import HttpToolCache
    from atrium.tools.model import KnowledgeSearch, Tool
    from atrium.tools.search_provider import WebSearch


LIBRARIES = (
    "anthropic", "boto3", "botocore", "httpcore", "httpcore2", "httpx", "httpx2", "mangum", "openai", "urllib3",
)  # fmt: skip


@dataclass(frozen=True)
class Runtime:
    """The clients and services of a function. Each of them is created on first use and cached.

    `knowledge` opens the knowledge base for a caller. None: the deployment has no knowledge base.
    """

    settings: Settings
    clock: Clock = read_clock
    knowledge: Callable[[TenantContext], KnowledgeSearch] | None = None

    @cached_property
    def table(self) -> PhysicalTable:
        return PhysicalTable(_client("dynamodb"), self.settings.table_name)

    @cached_property
    def bucket(self) -> Bucket:
        return Bucket(_client("s3"), self.settings.blobs_bucket)

    @cached_property
    def secrets(self) -> Secrets:
        from atrium.storage.secrets import Secrets

        return Secrets(self.settings)

    @cached_property
    def cursors(self) -> CursorSigner:
        return CursorSigner(partial(self.secrets.key, "cursor"))

    @cached_property
    def idempotency_key(self) -> Callable[[], bytes]:
        """Return a function that reads the HMAC key for the fingerprints of idempotent calls."""
        return partial(self.secrets.key, "idempotency")

    @cached_property
    def platform_table(self) -> PlatformTable:
        return PlatformTable(self.table)

    @cached_property
    def default_agents(self) -> dict[TenantId, AgentId]:
        """Return the cache of the tenants' default agents. An entry may be outdated, so every turn verifies it."""
        return {}

    @cached_property
    def platform_limit(self) -> PlatformLimit | None:
        """Return the limit on concurrent turns of all tenants together, or None if there is no such limit."""
        from atrium.quotas.platform import PlatformLimit

        maximum = self.settings.platform_concurrency
        return None if maximum < 0 else PlatformLimit(self.platform_table, maximum, self.clock)

    @cached_property
    def refusals(self) -> RefusalBound:
        """Return the counter of audited refusals, which limits the number of audit events of this container."""
        from atrium.audit.bound import RefusalBound

        return RefusalBound()

    @cached_property
    def run_queue(self) -> RunQueue:
        from atrium.storage.queues import RunQueue

        return RunQueue(_client("sqs"), self.settings.jobs_queue_url)

    @cached_property
    def policies(self) -> PolicyCache:
        from atrium.policy.guard import PolicyCache

        return PolicyCache()

    @cached_property
    def egress(self) -> EgressClient:
        """Return the client for outbound calls. Only the settings of the local stack allow local addresses."""
        from atrium.egress.client import EgressClient
        from atrium.egress.destination import Rules

        return EgressClient(Rules(local_addresses=self.settings.egress_local_addresses))

    @cached_property
    def http_tools(self) -> HttpToolCache:
        from atrium.tools.http.service import HttpToolCache

        return HttpToolCache()

    @cached_property
    def web_search(self) -> WebSearch | None:
        """Return the search provider that is configured, or None."""
        from atrium.tools.search_provider import PROVIDERS, WebSearch

        name = self.settings.web_search_provider
        if name == "none":
            return None
        return WebSearch(PROVIDERS[name], partial(self.secrets.search_api_key, name), self.settings.web_search_url)

    @cached_property
    def tools(self) -> tuple[Tool[Any], ...]:
        """Return the built-in tools that this deployment offers."""
        from atrium.tools.registry import offered_tools

        return offered_tools(web_search=self.web_search is not None, knowledge=self.knowledge is not None)

    @cached_property
    def secret_master_key(self) -> MasterKey:
        from atrium.storage.secret_encryption import MasterKey

        return MasterKey(_client("kms"), self.settings.tenant_secrets_key_id)

    @cached_property
    def social_profiles(self) -> ProfileReader:
        from atrium.identity.social.profile import ProfileReader

        return ProfileReader(self.egress, self.clock)

    @cached_property
    def providers(self) -> Providers:
        from atrium.http.logs import count
        from atrium.llm.registry import Providers

        return Providers(self.settings, self.secrets, partial(count, "ModelKeyMissing"))

    @cached_property
    def models(self) -> ResilientProvider:
        """Return the provider of all models, which uses a circuit breaker for each model."""
        from atrium.http.logs import record_model_call
        from atrium.llm.resilience import CircuitBreaker, ResilientProvider

        breaker = CircuitBreaker(self.platform_table, self.clock)
        return ResilientProvider(self.providers.find, breaker, record_model_call)

    @cached_property
    def router(self) -> TurnRouter:
        """Return the router of turns whose model is `auto`."""
        from atrium.routing.choosing import ModelRouter
        from atrium.routing.service import TurnRouter

        return TurnRouter(ModelRouter(self.providers.serves, self.models), self.clock)

    @cached_property
    def prompts(self) -> PromptCache:
        """Return the cache of the prompts of agents."""
        from atrium.prompts.turns import PromptCache

        return PromptCache()

    @cached_property
    def open_model_keys(self) -> OpenKeys:
        """Return the cache of the tenants' own model keys."""
        from atrium.tenants.model_keys.opening import OpenKeys

        return OpenKeys(self.clock)

    @cached_property
    def tenant_credentials(self) -> TenantCredentials | None:
        """Return the source of credentials that IAM restricts to one tenant, or None if no role is configured."""
        from atrium.storage.tenant_credentials import TenantCredentials

        role_arn = self.settings.tenant_role_arn
        return TenantCredentials(_client("sts"), role_arn, self.clock, _client) if role_arn else None

    def tenant_table(self, tenant_id: TenantId) -> TenantTable:
        if self.tenant_credentials is None:
            return TenantTable(self.table, tenant_id)
        client = self.tenant_credentials.client("dynamodb", tenant_id)
        return TenantTable(PhysicalTable(client, self.settings.table_name), tenant_id)

    def secret_encryption(self, tenant_id: TenantId) -> SecretEncryption:
        from atrium.storage.secret_encryption import SecretEncryption

        return SecretEncryption(self.secret_master_key, tenant_id)

    def tenant_blobs(self, tenant_id: TenantId) -> TenantBlobs:
        if self.tenant_credentials is None:
            return TenantBlobs(self.bucket, tenant_id)
        client = self.tenant_credentials.client("s3", tenant_id)
        return TenantBlobs(Bucket(client, self.settings.blobs_bucket, may_list=False), tenant_id)


type RuntimeSource = Callable[[], Runtime]


def quiet_libraries() -> None:
    """Set the log level of libraries to WARNING.

    At INFO, the libraries log one line per call. At DEBUG, they log bodies and credentials.
    """
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


@cache
def runtime() -> Runtime:
    """Return the `Runtime` of this process, which is created from environment variables."""
    quiet_libraries()
    return Runtime(Settings.read())


def _client(service: Any, credentials: CredentialsTypeDef | None = None) -> Any:
    """Return an AWS client that uses the function's role or the given credentials."""
    from atrium.storage.clients import open_client

    session = {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    } if credentials else None  # fmt: skip
    return open_client(
        service,
        attempts=3,
        credentials=session,
        connect_timeout=1,
        read_timeout={"dynamodb": 3, "sts": 2}.get(service, 10),
        max_pool_connections=16,
    )
