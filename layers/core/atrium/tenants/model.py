"""A tenant, as the platform keeps it, and what its settings switch on."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from atrium.kernel.ids import AgentId, TenantId
from atrium.kernel.texts import is_unseen
from atrium.tenants.plans import PlanName

type TenantStatus = Literal["active", "suspended", "deleted"]
type ScreeningMode = Literal["off", "flag", "refuse"]

SCREENING_MODES: tuple[ScreeningMode, ...] = get_args(ScreeningMode.__value__)
SCREENING_DEFAULT: ScreeningMode = "flag"

_FEATURE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
FEATURES_MAX = 50


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant. `opening` is the mark of a creation that has not ended: nobody sees the tenant before it has.

    Of a deleted tenant an erasure leaves id, plan, `deleted_at` and `deleted_by` (`platform:key_…`), and adds
    `erased_at`.

    `logins_ended_at` is when `token_version` was raised, which ended all logins. `limits` are its own, over the plan's,
    as `atrium.quotas.limits` reads them.
    """

    id: TenantId
    name: str
    display_name: str
    plan: PlanName
    status: TenantStatus
    created_at: datetime
    updated_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    config_version: int = 1
    token_version: int = 1
    logins_ended_at: datetime | None = None
    status_reason: str = ""
    default_agent_id: AgentId | None = None
    opening: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)
    deleted_at: datetime | None = None
    deleted_by: str = ""
    erased_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        return self.status == "active" and not self.opening

    @property
    def is_visible(self) -> bool:
        return self.status != "deleted" and not self.opening

    @property
    def audits_all(self) -> bool:
        """Whether decisions that allow are in the audit, too."""
        return self.settings.get("audits_all") is True

    @property
    def prompt_injection(self) -> ScreeningMode:
        """What is done with messages and tool results that look like prompt injection (`policy.injection`)."""
        mode = self.settings.get("prompt_injection")
        return mode if mode in SCREENING_MODES else SCREENING_DEFAULT

    @property
    def features(self) -> tuple[str, ...]:
        """The feature switches that are on, by name."""
        switches = self.settings.get("features", {})
        return tuple(sorted(name for name, on in switches.items() if on is True))


def same_name(name: str) -> str:
    """Return the form in which names are compared: case, Unicode's spellings and joiners make no difference."""
    seen = "".join(char for char in name if not is_unseen(char))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())


def find_settings_fault(settings: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the settings that the platform itself reads, or None. The rest is free."""
    features = settings.get("features", {})
    if not isinstance(features, dict) or not all(isinstance(on, bool) for on in features.values()):
        return "features must be an object of true and false by name"
    if len(features) > FEATURES_MAX or not all(_FEATURE.fullmatch(name) for name in features):
        return f"features must be at most {FEATURES_MAX}, named by a-z, 0-9, '_', '.' and '-', up to 64 characters"
    if settings.get("prompt_injection", SCREENING_DEFAULT) not in SCREENING_MODES:
        return f"prompt_injection must be one of {', '.join(SCREENING_MODES)}"
    return None
