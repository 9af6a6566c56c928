"""Checks that the built-in policies grant each documented operation exactly to the callers that have its scope."""

from collections.abc import Iterator
from datetime import UTC, datetime

from atrium.identity.scopes import PLATFORM, TENANT_SCOPES
from atrium.policy.builtin import BUILT_IN
from atrium.policy.engine import PolicySet
from atrium.policy.model import EXECUTE, AccessRequest, Circumstances

from infra.checks.contract import METHODS
from infra.runtime.template import Document

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def check_grants(contract: Document | None) -> Iterator[str]:
    """Compare the OpenAPI document with the built-in policies.

    Operator routes need no grant, because tenants cannot grant access to them.
    """
    policies = PolicySet((), BUILT_IN)
    for name, scope in _operations(contract or {}):
        resource = f"route:{name}"
        if scope != PLATFORM and not _allows(policies, resource, (scope,) if scope else ()):
            yield f"{name}: no policy of atrium/policy/builtin.py grants it to " + (scope or "every credential")
        others = [other for other in TENANT_SCOPES if other not in (scope, "admin")]
        if scope is not None and _allows(policies, resource, others):
            yield f"{name}: a policy of atrium/policy/builtin.py grants it without the scope {scope}"


def _operations(contract: Document) -> Iterator[tuple[str, str | None]]:
    for path, item in sorted(contract.get("paths", {}).items()):
        for method, operation in sorted(item.items()):
            if method in METHODS and operation.get("security", contract.get("security")):
                yield f"{method.upper()} {path}", operation.get("x-required-scope")


def _allows(policies: PolicySet, resource: str, scopes: list[str] | tuple[str, ...]) -> bool:
    subject = frozenset({"tenant:t", *(f"scope:{scope}" for scope in scopes)})
    return policies.decide(AccessRequest(subject, EXECUTE, resource, Circumstances(_NOW))).allowed
