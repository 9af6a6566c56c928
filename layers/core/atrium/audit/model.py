"""An event of the audit: what happened, to or by whom, from where. What it tells is masked before it becomes one.

auth.login auth.refuse auth.logout auth.token_reuse     doors
admin.change                                            keys, users, agents, policies, settings: action and resource
policy.deny policy.allow                                decisions: denials (alike ones once a minute), the others where
                                                        a tenant asks
tool.call model.refuse                                  inside a run; a model that the plan does not include
quota.refuse                                            one for each principal, limit and minute, with a count
safety.injection                                        a message or tool result that looks like prompt injection
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from atrium.audit.masking import Json, mask, mask_text
from atrium.kernel.ids import AuditEventId

type EventType = Literal[
    "auth.login", "auth.refuse", "auth.logout", "auth.token_reuse", "admin.change", "policy.deny", "policy.allow",
    "tool.call", "model.refuse", "quota.refuse", "safety.injection",
]  # fmt: skip

EVENT_TYPES: tuple[EventType, ...] = get_args(EventType.__value__)
DETAILS_BYTES_MAX = 16_000
USER_AGENT_MAX = 256
_BEGINNING = 4_000


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event comes from. `principal` is `user:…`, `key:…` or `client:…`; empty if nobody has proven himself."""

    principal: str = ""
    ip: str = ""
    user_agent: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event; `count` is above 1 only where like events of a minute are one."""

    id: AuditEventId
    at: datetime
    type: EventType
    origin: Origin
    session_id: str = ""
    end_user: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
    count: int = 1


def mask_origin(origin: Origin) -> Origin:
    """Return the origin as it may be kept. A user agent is the caller's own text: half a secret is not known as one, so
    it is masked before it is cut.
    """
    agent = mask_text(origin.user_agent)[:USER_AGENT_MAX]
    return Origin(origin.principal, origin.ip, agent, origin.request_id)


def mask_details(details: Mapping[str, object]) -> dict[str, Json]:
    """Return details as they may be kept: masked, and with their beginning alone where they are too long."""
    masked = mask(details)
    text = json.dumps(masked, ensure_ascii=False)
    if len(text.encode()) > DETAILS_BYTES_MAX or not isinstance(masked, dict):
        return {"truncated": True, "beginning": text[:_BEGINNING]}
    return masked
