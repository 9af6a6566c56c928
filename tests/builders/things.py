"""A small application with every kind of route, for tests of HTTP conventions."""

from collections.abc import Callable
from typing import Annotated, Literal

from atrium.bootstrap import RuntimeSource
from atrium.http.app import create_app
from atrium.http.context import ContextSource
from atrium.http.dependencies import (
    BaseUrlDep,
    CallerDep,
    PageDep,
    RuntimeDep,
    TenantDep,
    require,
    require_own_tenant,
)
from atrium.http.idempotency import IdempotentRoute, answers_secret
from atrium.http.models import FreeJson, ListOf, Money, StrictModel, Timestamp, id_pattern
from atrium.http.pages import list_scope, page_request, render_page
from atrium.kernel.pagination import Page
from fastapi import APIRouter, FastAPI, Path, Response
from starlette.responses import PlainTextResponse

ThingId = Annotated[str, Path(pattern=id_pattern("thg"))]


class ThingRequest(StrictModel):
    """The request body of a thing."""

    name: str
    size: int = 1
    colour: Literal["red", "blue"] = "red"
    due: Timestamp | None = None
    price: Money | None = None
    metadata: FreeJson | None = None
    tenant_id: str | None = None


class Thing(StrictModel):
    name: str
    number: int


class Secret(StrictModel):
    key: str


class Things:
    """The routes of the application.

    `executed` counts the executed POST requests. `meddle` is called during `create_thing` and `create_asynchronously`.
    """

    def __init__(self) -> None:
        self.executed = 0
        self.meddle: Callable[[], None] = lambda: None
        self.router = APIRouter(route_class=IdempotentRoute)
        self.router.post("/v1/things", status_code=201)(self.create_thing)
        self.router.get("/v1/things")(self.list_things)
        self.router.get("/v1/things/{thing_id}", dependencies=[require("agents:write")])(self.read_thing)
        self.router.delete("/v1/things/{thing_id}", status_code=204)(self.delete_thing)
        self.router.post("/v1/things/{thing_id}/key")(self.create_key)
        self.router.post("/v1/asynchronous")(self.create_asynchronously)
        self.router.get("/v1/page", include_in_schema=False)(self.read_page)
        self.router.post("/v1/platform")(self.create_for_platform)

    def create_thing(self, body: ThingRequest, tenant: TenantDep, base_url: BaseUrlDep, response: Response) -> Thing:
        require_own_tenant(tenant, body.tenant_id)
        self.executed += 1
        self.meddle()
        response.headers["Location"] = f"{base_url}/v1/things/{self.executed}"
        return Thing(name=body.name, number=self.executed)

    def list_things(
        self, page: PageDep, tenant: TenantDep, runtime: RuntimeDep, name: str | None = None
    ) -> ListOf[Thing]:
        """Return a page of an endless list of numbered things."""
        scope = list_scope(tenant, "things", name=name)
        asked = page_request(page, runtime.cursors, scope=scope)
        start = int(asked.position["number"]) if asked.position else 0
        numbers = range(start + 1, start + asked.limit + 1)
        found = Page([Thing(name="n", number=number) for number in numbers], {"number": str(numbers[-1])})
        return render_page(found, runtime.cursors, scope=scope)

    def read_thing(self, thing_id: ThingId, tenant: TenantDep) -> Thing:
        raise RuntimeError(f"an internal text: {thing_id} {tenant.tenant_id}")

    def delete_thing(self, thing_id: ThingId, tenant: TenantDep) -> None:
        """Delete a thing."""

    @answers_secret
    def create_key(self, thing_id: ThingId, tenant: TenantDep) -> Secret:
        self.executed += 1
        return Secret(key=f"secret {self.executed}")

    async def create_asynchronously(self, tenant: TenantDep) -> Thing:
        self.executed += 1
        self.meddle()
        return Thing(name="asynchronous", number=self.executed)

    def read_page(self) -> PlainTextResponse:
        return PlainTextResponse("hello", headers={"Cache-Control": "public, max-age=60"})

    def create_for_platform(self, caller: CallerDep) -> Thing:
        self.executed += 1
        return Thing(name=caller.principal.type, number=self.executed)

    def fail_with(self, error: Exception) -> None:
        """Make every later call of `create_thing` fail with this error."""

        def fail() -> None:
            raise error

        self.meddle = fail


def build_things(runtime: RuntimeSource, *, context_source: ContextSource = "event") -> tuple[FastAPI, Things]:
    things = Things()
    return create_app(title="Things", routers=[things.router], runtime=runtime, context_source=context_source), things
