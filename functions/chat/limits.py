"""`POST /v1/limits/check`: a dry run that returns what a chat request would reserve and which limit would reject it."""

from typing import Annotated

from atrium.agent.starting import DryRun
from atrium.http.dependencies import RuntimeDep, TenantDep, require_own_tenant
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.llm.catalogue import format_cost
from fastapi import APIRouter
from pydantic import Field

from functions.chat.dry_run import dry_run_service
from functions.chat.events import RoutingField
from functions.chat.models import ChatBody, render_routing

router = APIRouter(tags=["usage"])


class Reserve(StrictModel):
    """Upper bounds of the tokens and cost that admission would reserve for the first model call."""

    tokens: int
    """Tokens that would be reserved: an upper bound for the first model call."""
    cost_usd: str
    """Cost that would be reserved, in USD as decimal text: an upper bound for the first model call."""


class LimitCheck(StrictModel):
    """Whether the same chat request would be admitted now. If not, the limit that would reject it."""

    admitted: bool
    """Whether the same chat request would be admitted now."""
    model: str
    """Id of the model that would generate the answer."""
    routing: RoutingField = None
    """Why the model was chosen. Absent if the agent or the request has a fixed model."""
    reserve: Reserve
    """Tokens and cost that admission would reserve for the first model call."""
    binding: Annotated[str | None, Field(description="Name of the limit that would reject the request, or null")]
    """Name of the limit that would reject the request. Null if the request is admitted."""
    scope: str | None
    """Scope of the limit in `binding`, such as `tenant` or `user`. Null if the request is admitted."""
    used: int | str | None
    """Used amount of the limit in `binding`, in the unit of the limit. Null if the request is admitted."""
    max: int | str | None
    """Value of the limit in `binding`. Null if the request is admitted."""
    retry_after_seconds: int | None
    """Seconds until the request would be admitted. Null if the request is admitted, or if waiting does not help."""
    resets_at: str | None
    """When the limit in `binding` resets (RFC 3339, UTC). Null if the request is admitted, or if waiting does not help.
    """


@router.post("/v1/limits/check", responses=problem_responses(403, 404))
def check_limits(body: ChatBody, tenant: TenantDep, runtime: RuntimeDep) -> LimitCheck:
    """Check a chat request against the limits.

    Returns what the request would reserve and whether it would be admitted. Counters are not changed. All other
    errors are the same as for a chat request. The check ignores whether the session is busy.
    """
    require_own_tenant(tenant, body.tenant_id)
    return _render(dry_run_service(runtime, tenant).dry_run(body.to_domain()))


def _render(answer: DryRun) -> LimitCheck:
    said = answer.rejection.extensions if answer.rejection else {}
    return LimitCheck.model_validate(
        {
            "admitted": answer.rejection is None,
            "model": answer.model,
            "routing": render_routing(answer.routing),
            "reserve": Reserve(tokens=answer.tokens, cost_usd=format_cost(answer.cost_nanos)),
            "binding": said.get("limit"),
            **{name: said.get(name) for name in ("scope", "used", "max", "resets_at")},
            "retry_after_seconds": answer.rejection.retry_after_seconds if answer.rejection else None,
        }
    )
