"""`/v1/settings`: what a tenant sets for itself."""

from typing import Annotated

from atrium.bootstrap import Runtime
from atrium.http.dependencies import RuntimeDep, TenantDep, require
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.kernel.clock import format_time
from atrium.tenants.auditing import open_audit
from atrium.tenants.context import TenantContext
from atrium.tenants.model import FEATURES_MAX, SCREENING_DEFAULT, ScreeningMode
from atrium.tenants.settings import SettingsService, TenantSettings
from fastapi import APIRouter
from pydantic import Field

router = APIRouter(tags=["settings"], dependencies=[require("admin")])


class SettingsPatch(StrictModel):
    """Any part of the settings; what is absent stays. A feature that is null loses its switch."""

    features: Annotated[dict[Annotated[str, Field(max_length=64)], bool | None], Field(max_length=FEATURES_MAX)] = (
        Field(default_factory=dict)
    )
    audits_all: bool = Field(default_factory=bool)
    prompt_injection: ScreeningMode = SCREENING_DEFAULT


class SettingsAnswer(StrictModel):
    """The settings as they are. `config_version` rises with every change of the tenant's configuration."""

    features: dict[str, bool]
    audits_all: bool
    prompt_injection: ScreeningMode
    config_version: int
    updated_at: str


def _service(runtime: Runtime, tenant: TenantContext) -> SettingsService:
    table = runtime.tenant_table(tenant.tenant_id)
    return SettingsService(table, open_audit(tenant, table, runtime.clock), runtime.clock)


@router.get("/v1/settings")
def get_settings(tenant: TenantDep, runtime: RuntimeDep) -> SettingsAnswer:
    """Return the tenant's settings."""
    return _render(_service(runtime, tenant).get())


@router.patch("/v1/settings", responses=problem_responses(409))
def update_settings(body: SettingsPatch, tenant: TenantDep, runtime: RuntimeDep) -> SettingsAnswer:
    """Change settings; effective everywhere within a minute. `audits_all` puts what policies allow in the audit too."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return _render(_service(runtime, tenant).change(changes))


def _render(settings: TenantSettings) -> SettingsAnswer:
    return SettingsAnswer(
        features=dict(settings.features),
        audits_all=settings.audits_all,
        prompt_injection=settings.prompt_injection,
        config_version=settings.version,
        updated_at=format_time(settings.updated_at),
    )
