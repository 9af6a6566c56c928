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
    cost_usd: str


class LimitCheck(StrictModel):
    """Whether the same chat request would be admitted now, and if not, what rejects it.

    `binding` is the limit's name. `retry_after_seconds` is null where it is admitted or waiting does not help.
    """

    admitted: bool
    reserve: Reserve
    binding: Annotated[str | None, Field(description="Name of the limit that rejects")]
    scope: str | None
    used: int | str | None
    max: int | str | None
    retry_after_seconds: int | None
    resets_at: str | None


@router.post("/v1/limits/check", responses=problem_responses(403, 404))
def check_limits(body: ChatBody, tenant: TenantDep, runtime: RuntimeDep) -> LimitCheck:
    """Tell what this chat request would reserve and whether it would be admitted. Nothing is counted or written.

    Other errors are those of the chat request itself. Whether the session is busy is not looked at.
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
