"""The identity function of a deployment, and clients with any IP address and with or without a credential."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from typing import Any

from atrium.audit.model import AuditEvent
from atrium.identity.login.throttles import Attempt, LoginTarget, Throttles
from atrium.identity.onboarding import Onboarded
from atrium.identity.users.model import User
from atrium.identity.users.passwords import hash_password
from atrium.identity.users.store import UserStore
from atrium.kernel.ids import mint_user_id
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.identity.app import build
from tests.builders.authorizing import AuthorizerEnv, bearer
from tests.builders.deployments import PASSWORD, Deployment
from tests.builders.gateway import call_as
from tests.builders.logins import audited

HERE, THERE = "203.0.113.7", "198.51.100.9"


class Placed:
    """An ASGI wrapper that sets the caller's IP address in the event of each request."""

    def __init__(self, app: ASGIApp, ip: str) -> None:
        self._app = app
        self._ip = ip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["aws.event"]["requestContext"]["identity"]["sourceIp"] = self._ip
        await self._app(scope, receive, send)


@dataclass
class LoginEnv:
    """A deployment with one tenant, and clients of its identity function."""

    deployment: Deployment
    made: Onboarded

    @cached_property
    def _app(self) -> ASGIApp:
        return build(lambda: self.deployment.runtime)

    @property
    def admin(self) -> User:
        assert self.made.admin is not None
        return self.made.admin

    @property
    def throttles(self) -> Throttles:
        return Throttles(self.deployment.runtime.platform_table, self.deployment.clock)

    def enter(self, email: str, ip: str = HERE, tenant: str | None = None) -> Attempt:
        """Register a login attempt in the throttles and return it. The default tenant is the environment's tenant."""
        return self.throttles.enter_login([LoginTarget(tenant or self.made.tenant.id, email, "NAMED")], ip)

    def succeed(self, attempt: Attempt) -> None:
        self.throttles.succeed(attempt, attempt.targets)

    def client(self, access_token: str | None = None, *, ip: str = HERE) -> TestClient:
        """Return a client of the identity function. Assert that the authorizer admits the access token, if given."""
        fields = AuthorizerEnv(self.deployment).context(bearer(access_token)) if access_token else None
        app: Any = Placed(self._app, ip)
        return call_as(app, fields)

    def log_in(self, email: str | None = None, password: str = PASSWORD, *, ip: str = HERE, **body: Any) -> Any:
        content = {"email": email or self.admin.email, "password": password, **body}
        return self.client(ip=ip).post("/v1/auth/login", json=content)

    def add_user(self, made: Onboarded | None = None, email: str = "ann@b.example", **fields: Any) -> User:
        """Create an active user with the password `PASSWORD`. The default tenant is the environment's tenant."""
        now, tenant_id = self.deployment.clock(), (made or self.made).tenant.id
        wanted = {"role": "user", "status": "active", "password_hash": _hash_once(PASSWORD), **fields}
        user = User(id=mint_user_id(now), tenant_id=tenant_id, email=email, created_at=now, updated_at=now, **wanted)
        self.users(made).create(user)
        return user

    def users(self, made: Onboarded | None = None) -> UserStore:
        return UserStore(self.deployment.runtime.tenant_table((made or self.made).tenant.id))

    def audited(self, type: str, made: Onboarded | None = None) -> list[AuditEvent]:
        return audited(self.deployment, (made or self.made).tenant.id, type)


@dataclass
class Hashes:
    """The number of password verifications and of created hashes."""

    verified: int = 0
    made: int = 0


@contextmanager
def counting_hashes() -> Iterator[Hashes]:
    """Count the verifications and hashes that the argon2 library computes within the block."""
    hashing: Any = import_module("argon2._password_hasher")
    count, verify, make = Hashes(), hashing.verify_secret, hashing.hash_secret

    def count_verified(*arguments: Any, **named: Any) -> Any:
        count.verified += 1
        return verify(*arguments, **named)

    def count_made(*arguments: Any, **named: Any) -> Any:
        count.made += 1
        return make(*arguments, **named)

    hashing.verify_secret, hashing.hash_secret = count_verified, count_made
    try:
        yield count
    finally:
        hashing.verify_secret, hashing.hash_secret = verify, make


@cache
def _hash_once(password: str) -> str:
    return hash_password(password)
