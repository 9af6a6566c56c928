"""Validates policies. Patterns that can never match are rejected, because a deny policy without effect is dangerous."""

from collections.abc import Sequence
from dataclasses import replace

from atrium.kernel.errors import invalid_field
from atrium.kernel.texts import FAULT, find_fault
from atrium.policy.conditions import find_empty_conditions
from atrium.policy.engine import WILDCARD
from atrium.policy.model import PRINCIPAL_KINDS, RESOURCE_KINDS, Policy

NAME_MAX = 100
DESCRIPTION_MAX = 500
PATTERNS_MAX = 50
PATTERN_MAX = 200
PRIORITY_MAX = 1_000


def check_policy(policy: Policy) -> Policy:
    """Return the policy without duplicate patterns; raise `ValidationFailed` for the first invalid field."""
    if not 0 < len(policy.name) <= NAME_MAX or find_fault(policy.name) is not None:
        raise invalid_field("name", f"{FAULT}, with at most {NAME_MAX} characters")
    if policy.description:
        check_text("description", policy.description, DESCRIPTION_MAX)
    if isinstance(policy.priority, bool) or not -PRIORITY_MAX <= policy.priority <= PRIORITY_MAX:
        raise invalid_field("priority", f"must be from {-PRIORITY_MAX} to {PRIORITY_MAX}")
    for name in find_empty_conditions(policy.conditions):
        raise invalid_field("conditions", f"`{name}` has no effect; set a value or omit it")
    return replace(
        policy,
        principals=_patterns("principals", policy.principals, PRINCIPAL_KINDS),
        actions=_patterns("actions", policy.actions, ()),
        resources=_patterns("resources", policy.resources, RESOURCE_KINDS),
    )


def check_text(field: str, text: str, longest: int) -> str:
    """Return the text; raise `ValidationFailed` if it is empty, too long, or has unprintable characters."""
    if not text.strip() or len(text) > longest or not text.isprintable():
        raise invalid_field(field, f"must have 1 to {longest} printable characters")
    return text


def check_name(field: str, name: str, kinds: Sequence[str], *, wild: bool = False) -> str:
    """Return the name of a principal, resource or action; raise `ValidationFailed` if the name is invalid.

    If there are `kinds`, the name must have the form `kind:rest`. If `wild` is true, the name or the part `rest` may
    contain `*`.
    """
    check_text(field, name, PATTERN_MAX)
    kind, _, rest = name.partition(":")
    if not wild and WILDCARD in name:
        raise invalid_field(field, "must be an exact name without `*`")
    if kinds and not (kind in kinds and rest) and not (wild and name == WILDCARD):
        raise invalid_field(field, f"`{name}` must begin with one of {', '.join(f'{kind}:' for kind in kinds)}")
    return name


def _patterns(field: str, patterns: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    if not 1 <= len(patterns) <= PATTERNS_MAX:
        raise invalid_field(field, f"must have 1 to {PATTERNS_MAX} entries")
    return tuple(dict.fromkeys(check_name(field, pattern, kinds, wild=True) for pattern in patterns))
