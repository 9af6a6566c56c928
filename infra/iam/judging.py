"""Generates the IAM requests to evaluate: each recorded call unchanged, and variants that an attacker would send."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infra.iam.calls import RecordedCall
from infra.iam.policies import BUCKET, SECRET, TABLE, TENANT_ROLE
from infra.runtime.template import Document

OWN, OTHER = "ten_01k6r5m2x8f3v9q4w7t1y0z5ab", "ten_01k6r5m2x8f3v9q4w7t1y0z5ac"
# Actions that can run without leading keys. The template denies them to tenant sessions.
NEVER = ("Scan", "PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete")
# Functions that access tenant data through tenant sessions. The other functions process the data of many tenants, and
# use their own roles.
BOUND = frozenset({"identity", "chat", "sessions", "admin", "platform", "tools", "usage", "jobs"})


@dataclass(frozen=True, slots=True)
class Question:
    """An IAM request, the policy to evaluate, and the expected result.

    If `explicitly` is true, the policy must deny the request explicitly.
    """

    call: RecordedCall
    what: str
    policy: Document = field(repr=False)
    context: dict[str, Any]
    allowed: bool
    resource: str
    explicitly: bool = False

    def suits(self, answer: str) -> bool:
        """Return whether the evaluator's result is the expected result."""
        if self.explicitly:
            return answer == "ExplicitlyDenied"
        return not answer.startswith("error") and (answer == "Allowed") == self.allowed

    def document(self) -> dict[str, Any]:
        return {
            "action": self.call.action,
            "resource": self.resource,
            "context": self.context,
            "policy": self.policy,
        }


def ask_all(
    calls: Sequence[RecordedCall], bound: dict[str, Document], unbound: dict[str, Document]
) -> Iterator[Question]:
    """Yield all requests to evaluate.

    `bound` contains the policies with `TenantSessions` enabled, and `unbound` those with `TenantSessions` disabled.
    """
    yield from _never(bound[TENANT_ROLE])
    for call in calls:
        if call.function in unbound:
            yield _as_made(call, "its own role, without sessions", unbound[call.function], True)
        if call.function not in BOUND:
            if call.function in bound:
                yield _as_made(call, "its own role, with sessions", bound[call.function], True)
            continue
        yield _as_made(call, "its own role, with sessions", bound[call.function], not call.is_tenants)
        if call.is_tenants:
            yield from _under_a_session(call, bound[TENANT_ROLE])


def _never(policy: Document) -> Iterator[Question]:
    """Yield requests with the actions in NEVER, which must be explicitly denied even for the session's tenant."""
    for action in NEVER:
        for place in ("table", "index/gsi1"):
            call = RecordedCall(TENANT_ROLE, f"dynamodb:{action}", place, ("TENANT#{1}",))
            yield replace(_question(call, "the tenant's session", policy, False, OWN), explicitly=True)


def _under_a_session(call: RecordedCall, policy: Document) -> Iterator[Question]:
    tags = {
        "the tenant's session": (OWN, True),
        "another tenant's session": (OTHER, False),
        "a session of a tenant whose id is a prefix of this one's": (OWN[:-1], False),
        "a session of a tenant whose id has this one's as a prefix": (f"{OWN}0", False),
        "a session whose tag is a wildcard": ("ten_*", False),
    }
    for what, (tenant, allowed) in tags.items():
        yield _question(call, what, policy, allowed, tenant)
    yield _question(call, "a session without a tag", policy, False, None)
    if call.action.startswith("dynamodb:"):
        yield _question(call, "the tenant's session, without keys", policy, False, OWN, keys=())


def _as_made(call: RecordedCall, what: str, policy: Document, allowed: bool) -> Question:
    return _question(call, what, policy, allowed, None)


def _question(
    call: RecordedCall,
    what: str,
    policy: Document,
    allowed: bool,
    tenant: str | None,
    *,
    keys: tuple[str, ...] | None = None,
) -> Question:
    named = [key.replace("{1}", OWN).replace("{2}", OTHER) for key in (call.keys if keys is None else keys)]
    context: dict[str, Any] = {"aws:PrincipalTag/TenantId": tenant} if tenant else {}
    if call.place == "blobs":
        return Question(call, what, policy, context, allowed, f"{BUCKET}/{named[0]}/object")
    if call.place.startswith("secret/"):
        return Question(call, what, policy, context, allowed, f"{SECRET}/{call.place.removeprefix('secret/')}-000000")
    if named:
        context["dynamodb:LeadingKeys"] = named
    return Question(call, what, policy, context, allowed, TABLE if call.place == "table" else f"{TABLE}/{call.place}")
