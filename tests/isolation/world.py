"""Two tenants in one deployment, ours and theirs, with resources of every kind."""

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from atrium.tenants.context import TenantContext

from tests.builders.deployments import Deployment
from tests.builders.tenant_env import TenantEnv, context_of
from tests.isolation.callers import Caller, open_tenant
from tests.isolation.calling import Answer, Call, IsolationGateway
from tests.isolation.document import Route
from tests.isolation.knowledge import BODIES, NOUNS, QUERIES, ROUTES
from tests.isolation.state import State, read_state, restore

_TURN = frozenset({"chat", "sessions:read", "sessions:write"})


@dataclass
class World:
    """A deployment with two tenants, ours and theirs.

    `made` contains the ids of created resources by noun, tenant and (for an owned resource) owner.
    """

    deployment: Deployment
    tenant_env: TenantEnv
    made: dict[tuple[str, str, str], str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.gateway = self._open_gateway()
        operator_key = self.deployment.make_platform_key()
        self.ours = open_tenant(self.deployment, "ours", operator_key)
        self.theirs = open_tenant(self.deployment, "theirs", operator_key)

    def our(self, name: str) -> Caller:
        return next(caller for caller in self.ours if caller.name == name)

    def administrator(self, caller: Caller) -> Caller:
        """Return the caller of the same tenant whose API key has all scopes."""
        return self._callers_with(caller)[0]

    def neighbour(self, caller: Caller) -> Caller:
        """Return another principal of the caller's tenant."""
        name = "admin" if caller.name == "user" else "user"
        return next(each for each in self._callers_with(caller) if each.name == name)

    def context(self, caller: Caller) -> TenantContext:
        """Return the context with which the domain's services act for a caller."""
        tenant = caller.tenant
        return context_of(caller.principal_id, tenant=tenant.id, plan=tenant.plan, scopes=caller.scopes | _TURN)

    def thing(self, noun: str, owner: Caller) -> str:
        """Return the id of the owner's resource, which is created on first use.

        For an anonymous caller, the owner is the administrator.
        """
        owner = owner if owner.principal_id else self.administrator(owner)
        place = (noun, owner.tenant.id, owner.principal_id if NOUNS[noun].owned else "")
        if place not in self.made:
            self.made[place] = NOUNS[noun].make(self, owner)
        return self.made[place]

    def fill(self, owner: Caller) -> None:
        """Create one resource of every kind for an owner."""
        for noun in NOUNS:
            self.thing(noun, owner)

    def marks_of_them(self) -> set[str]:
        """Return the other tenant's ids and secrets, which our callers may not read."""
        tenant = self.theirs[0].tenant.id
        return {tenant, *(made for (_, of, _), made in self.made.items() if of == tenant), *self._secrets(self.theirs)}

    def marks_beside(self, caller: Caller) -> set[str]:
        """Return the ids and secrets of other principals in the caller's tenant, which the caller must not see."""
        tenant, own = caller.tenant.id, caller.principal_id
        others = [each for each in self.ours if each.principal_id not in ("", own)]
        made = {each for (_, of, owner), each in self.made.items() if of == tenant and owner not in ("", own)}
        return made | self._secrets(others)

    def body_for(self, route: str, caller: Caller) -> Any:
        """Return a valid body for a route, with ids of the caller's resources, or None if the route has no body."""
        if route not in BODIES:
            return None
        text = json.dumps(BODIES[route]).replace("{n}", str(next(self.numbers)))
        for noun in NOUNS:
            if f"{{{noun}}}" in text:
                text = text.replace(f"{{{noun}}}", self.thing(noun, caller))
        return json.loads(text)

    def send(
        self,
        caller: Caller,
        method: str,
        path: str,
        *,
        function: str = "",
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request with the caller's credential. `function` may be omitted for a path without ids."""
        name = function or next(each.function for each in ROUTES if each.name == f"{method} {path}")
        sent = {"accept": "application/json", **caller.headers, **(headers or {})}
        return self.gateway.call(Call(name, method, path, sent, query or {}, body))

    def greet(self, caller: Caller) -> None:
        """Send a first request with the caller's credential, because the first use may write to the table."""
        self.send(caller, "GET", "/v1/auth/me")

    def cursor_of(self, route: Route, caller: Caller) -> str:
        """Return the cursor of the second page of a list, and create resources until the list has two pages."""
        self.fill(caller)
        path, query = route.path, {**QUERIES.get(route.name, {}), "limit": "1"}
        for name in route.parameters:
            path = path.replace(f"{{{name}}}", self.thing(name, caller))
        answer = self.send(caller, "GET", path, query=query, function=route.function)
        assert answer.status == 200, f"{route.name}, {caller.name}: {answer}"
        if answer.json["next_cursor"] is None:
            for noun in NOUNS.values():
                noun.make(self, caller)
            answer = self.send(caller, "GET", path, query=query, function=route.function)
        cursor = answer.json["next_cursor"]
        assert cursor, f"{route.name}: two of everything do not fill two pages: see tests/isolation/making.py"
        return str(cursor)

    def state(self) -> State:
        return read_state(self.deployment.table, self.tenant_env.bucket)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Undo all writes at the end of the block."""
        before, made = self.state(), dict(self.made)
        try:
            yield
        finally:
            restore(self.deployment.table, self.tenant_env.bucket, before)
            self.made = made
            self.deployment.runtime.default_agents.clear()

    @contextmanager
    def as_new(self) -> Iterator[None]:
        """Start with empty caches, and undo all writes at the end of the block."""
        now, self.gateway = self.deployment.clock.now, self._open_gateway()
        with self.passing():
            yield
        self.deployment.clock.now = now

    def assert_nothing_written(self, before: State, where: str) -> None:
        """Assert that a rejected call wrote only audit events and throttles."""
        kept = (f"TENANT#{self.ours[0].tenant.id}#AUDIT#", "PLATFORM#THROTTLE#")
        written = [name for name in before.changed(self.state()) if not name.startswith(kept)]
        assert not written, f"{where}: writes {written}"

    def assert_theirs_untouched(self, before: State, where: str) -> None:
        theirs = self.theirs[0].tenant.id
        touched = [name for name in before.changed(self.state()) if theirs in name]
        assert not touched, f"{where}: touches {touched}"

    def _open_gateway(self) -> IsolationGateway:
        runtime = self.deployment.make_runtime()
        runtime.__dict__["bucket"] = self.tenant_env.bucket
        runtime.__dict__["providers"] = SimpleNamespace(
            find=lambda _: self.tenant_env.model, with_key=lambda *_: self.tenant_env.model, has_key=lambda _: True
        )
        self.deployment.runtime = runtime
        return IsolationGateway(runtime)

    def _callers_with(self, caller: Caller) -> list[Caller]:
        return self.ours if caller.tenant.id == self.ours[0].tenant.id else self.theirs

    @staticmethod
    def _secrets(callers: list[Caller]) -> set[str]:
        return {each.secret for each in callers if each.principal_id}
