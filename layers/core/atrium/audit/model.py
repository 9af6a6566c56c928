"""The model of an audit event: what happened, who did it, and from where. Details are masked before it is created.

auth.login auth.refuse auth.logout auth.token_reuse     logins and tokens
admin.change                                            keys, users, agents, policies, settings: action and resource
policy.deny policy.allow                                decisions: denials (equal ones once per minute); allowed calls
                                                        if the tenant enabled it
tool.call model.refuse                                  during a run; a model that the plan does not include
quota.refuse                                            one per principal, limit and minute, with a count
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
    """The source of an event.

    `principal` is `user:…`, `key:…` or `client:…`. It is empty if the caller is not authenticated.
    """

    principal: str = ""
    ip: str = ""
    user_agent: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An audit event. `count` is above 1 if several equal events of one minute were combined."""

    id: AuditEventId
    at: datetime
    type: EventType
    origin: Origin
    session_id: str = ""
    end_user: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
    count: int = 1


def mask_origin(origin: Origin) -> Origin:
    """Return the origin with the user agent masked and shortened.

    The user agent is masked before it is shortened, because an incomplete secret would not be recognised.
    """
    agent = mask_text(origin.user_agent)[:USER_AGENT_MAX]
    return Origin(origin.principal, origin.ip, agent, origin.request_id)


def mask_details(details: Mapping[str, object]) -> dict[str, Json]:
    """Return the details masked. If they are too long, return only their first 4,000 characters as `beginning`."""
    masked = mask(details)
    text = json.dumps(masked, ensure_ascii=False)
    if len(text.encode()) > DETAILS_BYTES_MAX or not isinstance(masked, dict):
        return {"truncated": True, "beginning": text[:_BEGINNING]}
    return masked
