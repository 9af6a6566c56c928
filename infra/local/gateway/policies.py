"""Evaluates the policy that an authorizer returned. An explicit deny takes precedence, and the default is deny."""

import re
from typing import Any

_INVOKE = "execute-api:Invoke"


class PolicyInvalid(Exception):
    """Raised if the policy document is malformed."""


def is_allowed(document: Any, method_arn: str) -> bool:
    """Return whether a policy allows the invocation of a method. Raises PolicyInvalid if the policy is malformed."""
    statements = _list(document.get("Statement")) if isinstance(document, dict) else []
    if not statements:
        raise PolicyInvalid
    effects = {_read_effect(statement) for statement in statements if _applies(statement, method_arn)}
    return effects == {"Allow"}


def _read_effect(statement: dict[str, Any]) -> str:
    effect = statement.get("Effect")
    if effect not in {"Allow", "Deny"}:
        raise PolicyInvalid
    return str(effect)


def _applies(statement: Any, method_arn: str) -> bool:
    if not isinstance(statement, dict) or "Action" not in statement or "Resource" not in statement:
        raise PolicyInvalid
    invokes = any(_matches(str(action).lower(), _INVOKE.lower()) for action in _list(statement["Action"]))
    return invokes and any(_matches(str(resource), method_arn) for resource in _list(statement["Resource"]))


def _matches(pattern: str, text: str) -> bool:
    """Return whether an IAM pattern matches a text. `*` matches any string and `?` matches one character."""
    expression = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
