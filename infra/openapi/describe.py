"""Adds missing descriptions to the merged OpenAPI document, and finds elements without a description.

The first sentence of a route's docstring is its summary, and the rest is its description. A model's docstrings describe
the model and its fields. This module describes elements without a docstring: aliases, lists, bodies and responses.
"""

from collections.abc import Iterator
from typing import Any

type Document = dict[str, Any]

SCHEMAS = {
    "AddressCondition": "Addresses from which the policy applies to calls.",
    "Algorithm": "Signature algorithm (RFC 7518).",
    "AmountCondition": "Range of the cost of a call for which the policy applies.",
    "AnyAnswer": "An identity provider, by `type`.",
    "AnswerBlock": "A block of an earlier answer, by `type`.",
    "AnswerPart": "A block of the answer, by `type`.",
    "AnyDetail": "An identity provider, by `type`, with the state of its keys for `oidc`.",
    "ColumnType": "Type of the values of a column.",
    "ContentBlock": "A block of a message, by `type`.",
    "DatasetFormat": "Format of the content of a data set.",
    "Day": "Day of the week.",
    "Effect": "Whether a policy allows or denies.",
    "CompletionMessage": "A message, by `role`.",
    "CompletionPart": "A part of an earlier answer, by `type`.",
    "Complexity": "Estimated complexity of a message.",
    "Injection": "What the platform adds to model requests.",
    "PromptSource": "Whether a prompt is shipped or belongs to the tenant.",
    "VariableType": "Type of a variable of a prompt.",
    "RuleStatus": "Whether a routing rule is used.",
    "Effort": "How much a model thinks and writes.",
    "EffectClass": "Effect of a repeated call of a tool.",
    "FinishReason": "Why an answer ended.",
    "FetchFault": "Why an issuer's public keys could not be fetched.",
    "GrantType": "OAuth grant type.",
    "Grouping": "Field by which a usage report is grouped.",
    "HealthStatus": "State of a component.",
    "JsonValue": "Any JSON value.",
    "LimitName": "Name of a limit.",
    "MessageRole": "Author of a message.",
    "MessageStop": "Why an answer ended.",
    "Method": "HTTP method of a tool's request.",
    "PlanName": "Name of a plan.",
    "ProviderName": "Provider of social sign-in.",
    "QuotaScope": "Owner of a limit. `tool` is a tool in one tenant.",
    "RoleName": "Role of a user.",
    "ToolPermission": "Permission that a call of a tool needs.",
    "ResultBlock": "A block of a tool result, by `type`.",
    "Row": "A row of a usage report: the group's value and its figures.",
    "RunErrorAnswer": "Why a run failed.",
    "RunEventAnswer": "An event of a run, by `event`.",
    "RunStatus": "State of a run.",
    "Scalar": "A value in the result of a query.",
    "Scope": "Scope of a credential.",
    "ScreeningMode": "What happens when a text matches the rules for prompt injection.",
    "UserPart": "A part of a message of the user, by `type`.",
    "UserBlock": "A block of a message of the user, by `type`.",
    "TimeCondition": "Times at which the policy applies.",
}
_LIST = "A page of a list."
_NO_BODY = "Success. The response has no body."
_UNSAID = "Successful Response"


def describe(document: Document) -> None:
    """Add summaries and missing descriptions to the document, in place."""
    schemas = document.get("components", {}).get("schemas", {})
    for name, schema in schemas.items():
        text = SCHEMAS.get(name) or (_LIST if "next_cursor" in schema.get("properties", {}) else None)
        if text and not schema.get("description"):
            schema["description"] = text
    for operation in _operations(document):
        summary, _, rest = operation.get("description", "").partition("\n")
        operation["summary"], operation["description"] = summary.removesuffix("."), " ".join(rest.split())
        for content in operation.get("requestBody", {}).get("content", {}).values():
            operation["requestBody"].setdefault("description", _text_of(content.get("schema", {}), schemas))
        for response in operation["responses"].values():
            if response.get("description") == _UNSAID:
                response["description"] = _describe_answer(response, schemas)


def find_undescribed(document: Document) -> Iterator[str]:
    """Yield the location of each schema, property, parameter, body and response without a description."""
    components = document.get("components", {})
    for name, schema in components.get("schemas", {}).items():
        if not schema.get("description"):
            yield f"schema {name}"
        yield from _undescribed_properties(schema, f"schema {name}")
    for operation in _operations(document):
        name = operation["operationId"]
        yield from (f"{part} of {name}" for part in ("summary", "description") if not operation.get(part))
        for parameter in operation.get("parameters", ()):
            if not parameter.get("description"):
                yield f"parameter {parameter['name']} of {name}"
        if "requestBody" in operation and not operation["requestBody"].get("description"):
            yield f"body of {name}"
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield from _undescribed_properties(content.get("schema", {}), f"body of {name}")
        for status, response in operation["responses"].items():
            if "$ref" not in response and response.get("description") in {None, "", _UNSAID}:
                yield f"answer {status} of {name}"


def _operations(document: Document) -> Iterator[Document]:
    for item in document["paths"].values():
        yield from item.values()


def _undescribed_properties(schema: object, place: str) -> Iterator[str]:
    """Yield the properties without a description in a schema and its parts.

    A property needs a description even if it refers to a component.
    """
    if isinstance(schema, list):
        for part in schema:
            yield from _undescribed_properties(part, place)
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties", {})
    for name, inner in properties.items():
        if not inner.get("description"):
            yield f"{place}, property {name}"
        yield from _undescribed_properties(inner, f"{place}, property {name}")
    for name, part in schema.items():
        if name not in {"properties", "example", "examples", "default", "const", "enum"}:
            yield from _undescribed_properties(part, place)


def _describe_answer(response: Document, schemas: Document) -> str:
    content = response.get("content", {}).get("application/json")
    return (_text_of(content.get("schema", {}), schemas) if content else "") or _NO_BODY


def _text_of(schema: Document, schemas: Document) -> str:
    """Return the description of a schema, or of the first component that it refers to."""
    if schema.get("description"):
        return str(schema["description"])
    if "$ref" in schema:
        return str(schemas[schema["$ref"].rpartition("/")[2]].get("description", ""))
    return next(filter(None, (_text_of(part, schemas) for part in schema.get("anyOf", ()))), "")
