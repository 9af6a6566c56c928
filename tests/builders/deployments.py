"""A deployment in one process: table, filled secrets, a clock, and tenants, keys and tokens made by our own code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from atrium.bootstrap import Runtime
from atrium.identity.keys.issue import issue_key
from atrium.identity.keys.model import IssuedKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.onboarding import FirstAdmin, Onboarded, Onboarding
from atrium.identity.scopes import KEY_SCOPES_DEFAULT
from atrium.identity.tokens import build_claims, name_issuer, sign_access_token
from atrium.identity.users.model import User
from atrium.kernel.ids import TenantId
from atrium.settings import Settings
from atrium.storage.table import PhysicalTable
from atrium.tenants.model import Tenant
from atrium.tenants.plans import PlanName
from atrium.tenants.service import TenantFields, TenantService

from infra.bootstrap.credentials import SecretArns, fill_secrets, make_platform_key
from infra.runtime.resources import REGION
from tests.builders.runtimes import TurnedClock

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

PASSWORD = "correct horse battery"


@dataclass
class Deployment:
    """What a stack is after `make bootstrap`."""

    table: PhysicalTable
    secrets_client: SecretsManagerClient
    arns: SecretArns
    clock: TurnedClock = field(default_factory=TurnedClock)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runtime = self.make_runtime()

    def make_runtime(self, **environment: str) -> Runtime:
        """Return the runtime of another container, whose environment may differ."""
        variables = {
            "CORS_ORIGINS": "*",
            "SIGNING_SECRET_ARN": self.arns.signing,
            "PEPPER_SECRET_ARN": self.arns.pepper,
            "CURSOR_SECRET_ARN": self.arns.cursor,
            "MODEL_SECRET_ARN": self.arns.model,
            **self.environment,
            **environment,
        }
        made = Runtime(Settings.read(variables), self.clock)
        made.__dict__["table"] = self.table
        return made

    @property
    def tenants(self) -> TenantService:
        return TenantService(self.runtime.platform_table, self.runtime.tenant_table, self.clock)

    def onboard(
        self, name: str = "acme", plan: PlanName = "pro", *, prepare: Callable[[Tenant], None] | None = None
    ) -> Onboarded:
        """Make a tenant with an admin and a key that has all of a tenant's scopes."""
        onboarding = Onboarding(
            self.tenants,
            self.runtime.tenant_table,
            self.runtime.settings.environment,
            self.runtime.secrets.current_pepper,
            prepare or (lambda _: None),
            self.clock,
        )
        admin = FirstAdmin(f"admin@{name}.example", PASSWORD)
        return onboarding.create(TenantFields(name, plan), admin, created_by="key_of_the_platform")

    def make_key(self, tenant_id: TenantId, scopes: Iterable[str] = KEY_SCOPES_DEFAULT, **options: Any) -> IssuedKey:
        """Make and store a key of a tenant."""
        settings, pepper = self.runtime.settings, self.runtime.secrets.current_pepper()
        options = {"name": "a key", "now": self.clock(), **options}
        issued = issue_key(settings.environment, pepper, tenant_id=tenant_id, scopes=scopes, **options)
        KeyStore(self.runtime.tenant_table(tenant_id)).create(issued.key)
        return issued

    def make_platform_key(self) -> str:
        pepper = self.runtime.secrets.current_pepper()
        return make_platform_key(self.table, pepper, self.runtime.settings.environment, now=self.clock())

    def make_token(self, user: User, **changes: Any) -> str:
        """Return an access token as login would give it."""
        claims = build_claims(
            user.id,
            user.tenant_id,
            **{
                "token_version": user.token_version,
                "tenant_token_version": 1,
                "token_id": "tok-1",
                "now": self.clock(),
                **changes,
            },
        )
        key = self.runtime.secrets.signing_keys()[0]
        return sign_access_token(claims, key, issuer=name_issuer(self.runtime.settings))


def create_secrets() -> tuple[SecretsManagerClient, SecretArns]:
    """Create the secrets of a stack, still empty."""
    client: SecretsManagerClient = boto3.client("secretsmanager", region_name=REGION)
    names = ("signing", "pepper", "cursor", "model")
    return client, SecretArns(*[client.create_secret(Name=f"atrium/{name}")["ARN"] for name in names])


def deploy(table: PhysicalTable) -> Deployment:
    """Return a deployment with filled secrets on an empty table."""
    client, arns = create_secrets()
    fill_secrets(client, arns)
    return Deployment(table, client, arns)


@contextmanager
def counting(table: PhysicalTable) -> Iterator[list[str]]:
    """Note each call to the table, by operation."""
    calls: list[str] = []

    def note(model: Any, **_: object) -> None:
        calls.append(model.name)

    table.client.meta.events.register("before-call.dynamodb", note)
    try:
        yield calls
    finally:
        table.client.meta.events.unregister("before-call.dynamodb", note)


class Broken(Exception):
    """The process ended here."""


@contextmanager
def breaking(table: PhysicalTable, write: int) -> Iterator[None]:
    """Let the process end in place of the n-th write (0: the first)."""
    left = [write]

    def end(model: Any, **_: object) -> None:
        if model.name in {"GetItem", "BatchGetItem", "Query"}:
            return
        if left[0] == 0:
            raise Broken
        left[0] -= 1

    table.client.meta.events.register("before-call.dynamodb", end)
    try:
        yield
    finally:
        table.client.meta.events.unregister("before-call.dynamodb", end)
