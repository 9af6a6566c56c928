"""Liveness and readiness. Readiness checks all components concurrently, each with a timeout of two seconds."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import anyio
from anyio import to_thread
from atrium.bootstrap import Runtime
from atrium.http import logs
from atrium.http.dependencies import RuntimeDep
from atrium.http.models import StrictModel
from atrium.http.problems import MEDIA_TYPE
from atrium.http.responses import PROBLEM_REFERENCE
from atrium.kernel.errors import AtriumError
from atrium.storage import platform_keys
from fastapi import APIRouter, Response

type HealthStatus = Literal["healthy", "degraded", "unhealthy"]
type Check = Callable[[], object]

TIMEOUT_SECONDS = 2.0
SLOW_SECONDS = 0.5

router = APIRouter(tags=["health"])


class Health(StrictModel):
    """Health and version of the API."""

    status: HealthStatus
    """Always `healthy`."""
    version: str
    """Version of the deployment."""


class Component(StrictModel):
    """Status and latency of a component of the deployment."""

    name: str
    """Name of the component."""
    status: HealthStatus
    """`degraded`: the component answered after 0.5 seconds or more. `unhealthy`: the component failed or did not answer
    within 2 seconds.
    """
    latency_ms: float
    """Response time in milliseconds."""


class Readiness(StrictModel):
    """Status of the deployment and of its components."""

    status: HealthStatus
    """The worst status of all components."""
    version: str
    """Version of the deployment."""
    components: list[Component]
    """All checked components."""


# API Gateway also returns 503 if this function does not answer.
_UNHEALTHY: dict[str, Any] = {
    "model": Readiness,
    "description": "A component is unhealthy, or the function does not answer",
    "content": {MEDIA_TYPE: {"schema": PROBLEM_REFERENCE}},
}


@router.get("/v1/health")
async def read_health(runtime: RuntimeDep) -> Health:
    """Check that the API answers.

    Returns 200 without checking other components.
    """
    return Health(status="healthy", version=runtime.settings.version)


@router.get("/v1/health/ready", responses={503: _UNHEALTHY})
async def read_readiness(runtime: RuntimeDep, response: Response) -> Readiness:
    """Check the components.

    Checks all components, each with a timeout of two seconds. Returns 503 if a component is unhealthy, and 200
    otherwise.
    """
    found: dict[str, Component] = {}
    checks = _checks(runtime)

    async def ask(name: str, check: Check) -> None:
        found[name] = await _ask(name, check)

    async with anyio.create_task_group() as group:
        for name, check in checks.items():
            group.start_soon(ask, name, check)
    components = [found[name] for name in checks]
    status = _worst(components)
    response.status_code = 503 if status == "unhealthy" else 200
    return Readiness(status=status, version=runtime.settings.version, components=components)


def _checks(runtime: Runtime) -> dict[str, Check]:
    """Return the checks of this deployment: the table, and whether the configured secrets have values."""
    checks: dict[str, Check] = {"table": lambda: runtime.platform_table.get(platform_keys.module("console"))}
    named = set(runtime.settings.secret_arns)
    if named - {"model"}:
        checks["secrets"] = partial(runtime.secrets.require_values, *sorted(named - {"model"}))
    if "model" in named:
        checks["model_key"] = partial(runtime.secrets.require_values, "model")
    return checks


async def _ask(name: str, check: Check) -> Component:
    """Check one component. After the timeout, the check continues in its thread until its client times out."""
    started = time.perf_counter()
    status: HealthStatus = "unhealthy"
    try:
        with anyio.fail_after(TIMEOUT_SECONDS):
            await to_thread.run_sync(check, abandon_on_cancel=True)
        status = "healthy" if time.perf_counter() - started < SLOW_SECONDS else "degraded"
    except TimeoutError:
        logs.logger().warning("component does not answer", component=name)
    except AtriumError as error:
        logs.logger().warning("component fails", component=name, internal=error.internal)
    except Exception as error:  # noqa: BLE001 - readiness must report any exception of a component
        logs.logger().error("component is broken", component=name, exception_name=type(error).__name__)
    return Component(name=name, status=status, latency_ms=round((time.perf_counter() - started) * 1000, 1))


def _worst(components: list[Component]) -> HealthStatus:
    statuses = {component.status for component in components}
    if "unhealthy" in statuses:
        return "unhealthy"
    return "degraded" if "degraded" in statuses else "healthy"
