"""`POST /v1/limits/check`: what a chat request would reserve, and which limit would reject it. It changes nothing."""

from typing import Annotated

from atrium.agent.starting import DryRun
from atrium.http.dependencies import RuntimeDep, TenantDep, require_own_tenant
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.llm.catalogue import format_cost
from fastapi import APIRouter
from pydantic import Field

from functions.chat.dry_run import dry_run_service
from functions.chat.models import ChatBody

router = APIRouter(tags=["usage"])


class Reserve(StrictModel):
    """What admission would reserve until the first model call is settled: upper bounds."""

    tokens: int
    """Tokens that would be reserved, an upper bound for the first model call."""
    cost_usd: str
    """Cost that would be reserved, in USD as decimal text."""


class LimitCheck(StrictModel):
    """Whether the same chat request would be admitted now, and if not, what rejects it.

    `binding` is the limit's name. `retry_after_seconds` is null where it is admitted or waiting does not help.
    """

    admitted: bool
    """Whether the same chat request would be admitted now."""
    reserve: Reserve
    """What admission would reserve for the first model call."""
    binding: Annotated[str | None, Field(description="Name of the limit that rejects")]
    """Name of the limit that rejects it. Null if it is admitted."""
    scope: str | None
    """Whose limit that is. Null if it is admitted."""
    used: int | str | None
    """How much of that limit is used, in its unit. Null if it is admitted."""
    max: int | str | None
    """That limit's upper bound, in its unit. Null if it is admitted."""
    retry_after_seconds: int | None
    """Seconds until it would be admitted. Null if it is admitted or waiting does not help."""
    resets_at: str | None
    """When that limit frees (RFC 3339, UTC). Null if it is admitted or waiting does not help."""


@router.post("/v1/limits/check", responses=problem_responses(403, 404))
def check_limits(body: ChatBody, tenant: TenantDep, runtime: RuntimeDep) -> LimitCheck:
    """Check a chat request against the limits.

    Tells what the request would reserve and whether it would be admitted. Nothing is counted or stored. Other errors
    are those of the chat request; whether the session is busy is not checked.
    """
    require_own_tenant(tenant, body.tenant_id)
    return _render(dry_run_service(runtime, tenant).dry_run(body.to_domain()))


def _render(answer: DryRun) -> LimitCheck:
    said = answer.rejection.extensions if answer.rejection else {}
    return LimitCheck.model_validate(
        {
            "admitted": answer.rejection is None,
            "reserve": Reserve(tokens=answer.tokens, cost_usd=format_cost(answer.cost_nanos)),
            "binding": said.get("limit"),
            **{name: said.get(name) for name in ("scope", "used", "max", "resets_at")},
            "retry_after_seconds": answer.rejection.retry_after_seconds if answer.rejection else None,
        }
    )
