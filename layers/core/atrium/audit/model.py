"""The model of an audit event and its types. Details are masked before an event is created.

auth.login auth.refuse auth.logout auth.token_reuse     use of logins and tokens
admin.change                                            change of a key, user, agent, policy or setting
policy.deny                                             denial by a policy; equal denials once per minute
policy.allow                                            call that the policies allow, if the tenant audits these calls
tool.call                                               tool call of a run
tool.approval                                           run waits for the approval of tool calls
tool.decide                                             decision of a person about a tool call
model.refuse                                            request for a model that the plan does not include
quota.refuse                                            rejections by a limit; one event per principal, limit and minute
safety.injection                                        message or tool result that looks like prompt injection
outbound.refuse                                         outbound call of a tool that is not allowed
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
    "tool.call", "tool.approval", "tool.decide", "model.refuse", "quota.refuse", "safety.injection", "outbound.refuse",
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
    """An audit event. `count` is greater than 1 if the event represents several equal events of one minute."""

    id: AuditEventId
    at: datetime
    type: EventType
    origin: Origin
    session_id: str = ""
    end_user: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
    count: int = 1


def mask_origin(origin: Origin) -> Origin:
    """Return the origin with a masked and shortened user agent.

    The user agent is masked before it is shortened, because an incomplete secret would not be recognised.
    """
    agent = mask_text(origin.user_agent)[:USER_AGENT_MAX]
    return Origin(origin.principal, origin.ip, agent, origin.request_id)


def mask_details(details: Mapping[str, object]) -> dict[str, Json]:
    """Return the masked details.

    If the JSON text of the details exceeds `DETAILS_BYTES_MAX`, only its first 4,000 characters are returned.
    """
    masked = mask(details)
    text = json.dumps(masked, ensure_ascii=False)
    if len(text.encode()) > DETAILS_BYTES_MAX or not isinstance(masked, dict):
        return {"truncated": True, "beginning": text[:_BEGINNING]}
    return masked
