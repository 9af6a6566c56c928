"""The tenant model and the validation of its settings."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from atrium.egress.destination import HostList, read_host_pattern
from atrium.kernel.ids import AgentId, TenantId
from atrium.kernel.texts import is_unseen
from atrium.tenants.plans import PlanName

type TenantStatus = Literal["active", "suspended", "deleted"]
type ScreeningMode = Literal["off", "flag", "refuse"]

SCREENING_MODES: tuple[ScreeningMode, ...] = get_args(ScreeningMode.__value__)
SCREENING_DEFAULT: ScreeningMode = "flag"

_FEATURE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
FEATURES_MAX = 50
HOSTS_MAX = 100
UNDELETE_DAYS_DEFAULT = 7
UNDELETE_DAYS_MAX = 90
RETENTION_DAYS_MAX = 3_650


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant with its plan, status and settings.

    `opening` marks a creation that is not complete; such a tenant is invisible. `logins_ended_at` is the time of the
    last increment of `token_version`, which ended all logins. `limits` override the plan's limits;
    `atrium.quotas.limits` reads them. `own_model_keys` are the model providers for which the tenant has an API key.

    The tombstone of an erased tenant contains the id, the plan, `deleted_at`, `deleted_by` (`platform:key_…`) and
    `erased_at`.
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
    own_model_keys: frozenset[str] = frozenset()
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
        """Return whether allowed policy decisions are also audited."""
        return self.settings.get("audits_all") is True

    @property
    def prompt_injection(self) -> ScreeningMode:
        """Return how suspected prompt injection in messages and tool results is handled (`policy.injection`)."""
        mode = self.settings.get("prompt_injection")
        return mode if mode in SCREENING_MODES else SCREENING_DEFAULT

    @property
    def outbound(self) -> HostList:
        """Return the hosts that outbound calls for the tenant may reach."""
        lists = self.settings.get("outbound", {})
        return HostList(tuple(lists.get("allow", ())), tuple(lists.get("deny", ())))

    @property
    def undelete_days(self) -> int:
        """Return for how many days a deleted session can be restored."""
        return int(self.settings.get("undelete_days", UNDELETE_DAYS_DEFAULT))

    @property
    def session_retention_days(self) -> int | None:
        """Return after how many days without a turn a session is deleted, or None if sessions are kept."""
        return self.settings.get("session_retention_days")

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of the enabled features."""
        switches = self.settings.get("features", {})
        return tuple(sorted(name for name, on in switches.items() if on is True))


def same_name(name: str) -> str:
    """Return the normalised form of a name, which is used to compare names.

    Names are the same if they differ only in letter case, Unicode compatibility variants, joiners or variation
    selectors.
    """
    seen = "".join(char for char in name if not is_unseen(char))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())


def find_settings_fault(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the name of the first invalid setting with a message, or None.

    Only settings that the platform uses are checked.
    """
    features = settings.get("features", {})
    if not isinstance(features, dict) or not all(isinstance(on, bool) for on in features.values()):
        return "features", "features must be an object whose values are true or false"
    if len(features) > FEATURES_MAX or not all(_FEATURE.fullmatch(name) for name in features):
        return "features", (
            f"features may have at most {FEATURES_MAX} members, with names of up to 64 characters: "
            "a-z, 0-9, '_', '.' and '-'"
        )
    if settings.get("prompt_injection", SCREENING_DEFAULT) not in SCREENING_MODES:
        return "prompt_injection", f"prompt_injection must be one of {', '.join(SCREENING_MODES)}"
    if not isinstance(settings.get("platform_model_key", True), bool):
        return "platform_model_key", "platform_model_key must be true or false"
    return _find_outbound_fault(settings.get("outbound", {})) or _find_retention_fault(settings)


def _find_retention_fault(settings: Mapping[str, Any]) -> tuple[str, str] | None:
    if not _is_days(settings.get("undelete_days", UNDELETE_DAYS_DEFAULT), 0, UNDELETE_DAYS_MAX):
        return "undelete_days", f"undelete_days must be an integer from 0 to {UNDELETE_DAYS_MAX}"
    days = settings.get("session_retention_days")
    if days is not None and not _is_days(days, 1, RETENTION_DAYS_MAX):
        return "session_retention_days", (
            f"session_retention_days must be null or an integer from 1 to {RETENTION_DAYS_MAX}"
        )
    return None


def _is_days(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _find_outbound_fault(lists: object) -> tuple[str, str] | None:
    if not isinstance(lists, dict) or not lists.keys() <= {"allow", "deny"}:
        return "outbound", "outbound must be an object with the members allow and deny"
    for name, patterns in lists.items():
        if not isinstance(patterns, list) or len(patterns) > HOSTS_MAX or not all(map(_is_host_pattern, patterns)):
            return "outbound", (
                f"outbound.{name} must be a list of at most {HOSTS_MAX} hosts in lower case, "
                "such as api.example.com, or *.example.com for all its subdomains"
            )
    return None


def _is_host_pattern(pattern: object) -> bool:
    """Return whether a host pattern is in its normal form. Other forms would never match a destination."""
    try:
        return isinstance(pattern, str) and read_host_pattern(pattern) == pattern
    except ValueError:
        return False
