"""`/v1/settings`: routes for a tenant's settings."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import RuntimeDep, TenantDep, require
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from atrium.tenants.model import (
    FEATURES_MAX,
    HOSTS_MAX,
    RETENTION_DAYS_MAX,
    SCREENING_DEFAULT,
    UNDELETE_DAYS_DEFAULT,
    UNDELETE_DAYS_MAX,
    ScreeningMode,
)  # fmt: skip
from atrium.tenants.settings import SettingsService, TenantSettings
from fastapi import APIRouter
from pydantic import Field

HostPatterns = Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(max_length=HOSTS_MAX)]

router = APIRouter(tags=["settings"], dependencies=[require("admin")])


class OutboundPatch(StrictModel):
    """The lists to change. Absent lists are not changed. `*.example.com` stands for all subdomains of the host."""

    allow: HostPatterns = Field(default_factory=list)
    """The only hosts that may be called, at most 100. If the list is empty, all public hosts may be called."""
    deny: HostPatterns = Field(default_factory=list)
    """Hosts that must not be called, even if they are in `allow`, at most 100."""


class SettingsPatch(StrictModel):
    """The settings to change. Absent settings are not changed."""

    features: Annotated[dict[Annotated[str, Field(max_length=64)], bool | None], Field(max_length=FEATURES_MAX)] = (
        Field(default_factory=dict)
    )
    """Feature switches by name, at most 50. Null removes a switch. Absent switches are not changed."""
    audits_all: bool = Field(default_factory=bool)
    """Whether calls that policies allow are recorded in the audit log. Denied calls are always recorded."""
    prompt_injection: ScreeningMode = SCREENING_DEFAULT
    """What happens if a message or tool result matches the rules for prompt injection: nothing (`off`), an audit
    event (`flag`), or a rejection (`refuse`). Default `flag`.
    """
    outbound: OutboundPatch = Field(default_factory=OutboundPatch)
    """Hosts that the tools of the tenant's agents may call. Absent lists are not changed."""
    platform_model_key: bool = True
    """Whether the platform's API keys may be used for models of providers for which the tenant has no key of its own.
    If false, calls of these models are rejected with `MODEL_KEY_REQUIRED`. Default true.
    """
    undelete_days: Annotated[int, Field(ge=0, le=UNDELETE_DAYS_MAX)] = UNDELETE_DAYS_DEFAULT
    """Days for which a deleted session can be restored, 0 to 90. 0: sessions are removed at once. Default 7."""
    session_retention_days: Annotated[int, Field(ge=1, le=RETENTION_DAYS_MAX)] | None = None
    """Days without a turn after which a session is deleted, 1 to 3,650. Null: sessions are kept. Default null."""


class OutboundLists(StrictModel):
    """Lists of hosts. `*.example.com` stands for all subdomains of the host."""

    allow: list[str]
    """The only hosts that may be called. If the list is empty, all public hosts may be called."""
    deny: list[str]
    """Hosts that must not be called, even if they are in `allow`."""


class SettingsAnswer(StrictModel):
    """The tenant's settings: feature switches, audit, handling of prompt injection, hosts for outbound calls, use of
    the platform's model keys, and retention of sessions.
    """

    features: dict[str, bool]
    """Feature switches by name."""
    audits_all: bool
    """Whether calls that policies allow are recorded in the audit log."""
    prompt_injection: ScreeningMode
    """What happens if a message or tool result matches the rules for prompt injection: `off`, `flag` or `refuse`."""
    outbound: OutboundLists
    """Hosts that the tools of the tenant's agents may call."""
    platform_model_key: bool
    """Whether the platform's API keys may be used for models of providers for which the tenant has no key of its own.
    """
    undelete_days: int
    """Days for which a deleted session can be restored."""
    session_retention_days: int | None
    """Days without a turn after which a session is deleted. Null: sessions are kept."""
    config_version: int
    """Version of the tenant's configuration. The version increases with every change."""
    updated_at: str
    """When the settings were last changed (RFC 3339, UTC)."""


def _service(runtime: Runtime, tenant: TenantContext) -> SettingsService:
    table = runtime.tenant_table(tenant.tenant_id)
    return SettingsService(table, open_audit(tenant, table, runtime.clock), runtime.clock)


@router.get("/v1/settings")
def get_settings(tenant: TenantDep, runtime: RuntimeDep) -> SettingsAnswer:
    """Get the settings.

    Returns the tenant's settings.
    """
    return _render(_service(runtime, tenant).get())


@router.patch("/v1/settings", responses=problem_responses(409))
def update_settings(body: SettingsPatch, tenant: TenantDep, runtime: RuntimeDep) -> SettingsAnswer:
    """Update the settings.

    Absent settings are not changed. The change applies within a minute.
    """
    changes = body.model_dump(exclude_unset=True)
    return _render(_service(runtime, tenant).change(changes))


def _render(settings: TenantSettings) -> SettingsAnswer:
    return SettingsAnswer(
        features=dict(settings.features),
        audits_all=settings.audits_all,
        prompt_injection=settings.prompt_injection,
        outbound=OutboundLists(allow=list(settings.outbound.allow), deny=list(settings.outbound.deny)),
        platform_model_key=settings.platform_model_key,
        undelete_days=settings.undelete_days,
        session_retention_days=settings.session_retention_days,
        config_version=settings.version,
        updated_at=format_time(settings.updated_at),
    )
