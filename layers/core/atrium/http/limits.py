"""The types of limits in request and response bodies.

A body contains numbers by limit name, and money as decimal strings (`atrium.quotas.limits`). In a parsed request,
limits that are null are omitted, and money is in nano-dollars.
"""

from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from atrium.kernel.errors import ValidationFailed
from atrium.quotas.limits import DEFINITIONS, SUBJECT_LIMITS, show_limit, validate_limits
from atrium.quotas.model import LimitName


def _read(known: frozenset[LimitName], value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "must be an object with limit names as keys")
    try:
        read = validate_limits(value, known=known)
    except ValidationFailed as failure:
        raise _located(failure) from None
    return {name: figure for name, figure in read.items() if figure is not None}


def _located(failure: ValidationFailed) -> ValidationError:
    """Convert a failure to a pydantic error in which each location is only the limit's name.

    Pydantic adds the location of the field, so the error is correct at any position in a body.
    """
    errors: Any = failure.extensions["errors"]
    lines = [
        InitErrorDetails(
            type=PydanticCustomError(each["type"], "{reason}", {"reason": each["msg"]}),
            loc=(each["loc"][-1],),
            input=None,
        )
        for each in errors
    ]
    return ValidationError.from_exception_data("limits", lines)


def _describe(known: frozenset[LimitName], text: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "object",
            "description": text,
            "properties": {name: _describe_limit(name) for name in DEFINITIONS if name in known},
            "additionalProperties": False,
        }
    )


def _describe_limit(name: LimitName) -> dict[str, Any]:
    whole = {"type": "integer", "minimum": -1, "maximum": DEFINITIONS[name].maximum}
    if DEFINITIONS[name].is_money:
        most = show_limit(name, DEFINITIONS[name].maximum)
        text = {
            "type": "string",
            "pattern": r"^(-1|(0|[1-9]\d{0,11})(\.\d{1,6})?)$",
        }
        return {
            "anyOf": [text, {"type": "integer", "const": -1}, {"type": "null"}],
            "description": f"{DEFINITIONS[name].meaning}, at most {most}.",
        }
    return {
        "anyOf": [whole, {"type": "null"}],
        "description": f"{DEFINITIONS[name].meaning}, at most {whole['maximum']}.",
    }


_ALL = frozenset(DEFINITIONS)

TenantLimits = Annotated[
    dict[str, int],
    BeforeValidator(partial(_read, _ALL)),
    _describe(_ALL, "Limits that override the plan's limits, by name. -1: no limit. Null or absent: the plan's limit."),
]
"""The limits of a tenant in a request."""

SubjectLimits = Annotated[
    dict[str, int],
    BeforeValidator(partial(_read, SUBJECT_LIMITS)),
    _describe(SUBJECT_LIMITS, "Limits on top of the tenant's, by name. -1, null or absent: no limit."),
]
"""The limits of a user, API key or agent in a request."""

ShownLimits = dict[str, int | str]
"""The limits of a tenant, user, API key or agent in a response."""
