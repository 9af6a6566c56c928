"""A deployment in one process: a table, secrets with values, and a clock.

The code of the product creates tenants, API keys and access tokens.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from atrium.bootstrap import Runtime
from atrium.identity.keys.issue import issue_key
from atrium.identity.keys.model import IssuedKey
from atrium.identity.keys.store import KeyStore
from atrium.identity.onboarding import FIRST_KEY_NAME, Onboarded
from atrium.identity.scopes import KEY_SCOPES_DEFAULT, TENANT_SCOPES
from atrium.identity.tokens import build_claims, name_issuer, sign_access_token
from atrium.identity.users.model import User
from atrium.identity.users.passwords import hash_password
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import TenantId, mint_user_id
from atrium.settings import Settings
from atrium.storage.secrets import Secrets
from atrium.storage.table import PhysicalTable
from atrium.tenants.plans import PlanName
from atrium.tenants.service import TenantFields, TenantService

from infra.bootstrap.credentials import SECRETS, SecretArns, fill_secrets, make_platform_key
from infra.runtime.resources import local_session
from tests.builders.remembered import create_filled, put_back
from tests.builders.runtimes import TurnedClock

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

PASSWORD = "correct horse battery"


@dataclass
class Deployment:
    """The state of a stack after `make bootstrap`."""

    table: PhysicalTable
    secrets_client: SecretsManagerClient
    arns: SecretArns
    clock: TurnedClock = field(default_factory=TurnedClock)
    environment: Mapping[str, str] = field(default_factory=dict)
    _onboarded: set[Hashable] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.runtime = self.make_runtime()

    def make_runtime(self, **environment: str) -> Runtime:
        """Return the runtime of another container, optionally with a changed environment."""
        variables = {
            "CORS_ORIGINS": "*",
            **self.arns.environment(),
            "SEARCH_SECRET_ARN": "",  # the console checks all secrets of its environment and must not access this one
            **self.environment,
            **environment,
        }
        made = Runtime(Settings.read(variables), self.clock)
        made.__dict__["table"] = self.table
        made.__dict__["secrets"] = Secrets(made.settings, client=self.secrets_client)
        return made

    @property
    def tenants(self) -> TenantService:
        return TenantService(self.runtime.platform_table, self.runtime.tenant_table, self.clock)

    def onboard(self, name: str = "acme", plan: PlanName = "pro") -> Onboarded:
        """Create a tenant with an admin user and an API key with all scopes of a tenant, but without an agent."""
        pepper, environment = self.runtime.secrets.peppers("api_key").current(), self.runtime.settings.environment
        what = (name, plan, self.clock(), pepper.value, environment)
        if what in self._onboarded:
            return self._onboard(name, plan)
        self._onboarded.add(what)
        return put_back(self.table, what, lambda: self._onboard(name, plan))

    def _onboard(self, name: str, plan: PlanName) -> Onboarded:
        opened, now = self.tenants.open(TenantFields(name, plan)), self.clock()
        email = f"admin@{name}.example"
        user = User(
            mint_user_id(now), opened.id, email, "admin", "active", now, now, password_hash=_hash_once(PASSWORD)
        )
        issued = self._issue(opened.id, name=FIRST_KEY_NAME, scopes=TENANT_SCOPES, now=now)
        table = self.runtime.tenant_table(opened.id)
        operations = [*UserStore(table).creation(user), KeyStore(table).creation(issued.key)]
        return Onboarded(self.tenants.close(opened, operations), user, issued)

    def make_key(self, tenant_id: TenantId, scopes: Iterable[str] = KEY_SCOPES_DEFAULT, **options: Any) -> IssuedKey:
        """Create and store an API key of a tenant."""
        issued = self._issue(tenant_id, **{"name": "a key", "scopes": scopes, "now": self.clock(), **options})
        KeyStore(self.runtime.tenant_table(tenant_id)).create(issued.key)
        return issued

    def _issue(self, tenant_id: TenantId, **options: Any) -> IssuedKey:
        pepper = self.runtime.secrets.peppers("api_key").current()
        return issue_key(self.runtime.settings.environment, pepper, tenant_id=tenant_id, **options)

    def make_platform_key(self) -> str:
        pepper = self.runtime.secrets.peppers("api_key").current()
        return make_platform_key(self.table, pepper, self.runtime.settings.environment, now=self.clock())

    def make_token(self, user: User, **changes: Any) -> str:
        """Return an access token like that of a login. `changes` replace arguments of `build_claims`."""
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
    """Create the secrets of a stack without values. Return the client and the ARNs."""
    client: SecretsManagerClient = local_session().client("secretsmanager")
    return client, SecretArns(*[client.create_secret(Name=f"atrium/{name}")["ARN"] for name in SECRETS])


def deploy(table: PhysicalTable) -> Deployment:
    """Create secrets with values, and return a deployment that uses them and the table."""
    client: SecretsManagerClient = local_session().client("secretsmanager")
    return Deployment(table, client, SecretArns(*create_filled(client, lambda: _fill_once(client), SECRETS)))


def _fill_once(client: SecretsManagerClient) -> dict[str, str]:
    """Return the values that bootstrap writes to empty secrets."""
    arns = SecretArns(*[client.create_secret(Name=f"once/{name}")["ARN"] for name in SECRETS])
    filled = fill_secrets(client, arns)
    return {name: client.get_secret_value(SecretId=getattr(arns, name))["SecretString"] for name in filled}


@cache
def _hash_once(password: str) -> str:
    """Return the hash of the password, computed once per process. Hashing takes 50 ms by design."""
    return hash_password(password)


@contextmanager
def counting(table: PhysicalTable) -> Iterator[list[str]]:
    """Yield a list to which each call to the table appends the name of its operation."""
    calls: list[str] = []

    def note(model: Any, **_: object) -> None:
        calls.append(model.name)

    table.client.meta.events.register("before-call.dynamodb", note)
    try:
        yield calls
    finally:
        table.client.meta.events.unregister("before-call.dynamodb", note)


class Broken(Exception):
    """Raised by `breaking` instead of a write, as if the process had ended."""


@contextmanager
def breaking(table: PhysicalTable, write: int) -> Iterator[None]:
    """Raise `Broken` instead of write number `write` (from 0) and all later writes, as if the process had ended."""
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
