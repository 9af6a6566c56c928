"""Names, titles and email addresses follow the same rule in every request body."""

from typing import Any

import pytest
from pydantic_core import SchemaValidator, ValidationError

from tests.builders.request_fields import RequestField, Schema, nodes, request_fields

LINES = {"name", "display_name", "title", "end_user"}
ELSEWHERE = {"claim_mapping"}  # its `name` is the name of a token claim


def outermost(found: RequestField, above: tuple[Schema, ...]) -> SchemaValidator:
    """Return a validator of the innermost model field that contains a text."""
    return found.validator(next(schema for schema in reversed(above) if schema["type"] == "model-field")["schema"])


def read_texts() -> dict[str, SchemaValidator]:
    return {
        found.name: outermost(found, above)
        for field in request_fields() for found, above in nodes(field)
        if " body." in found.name and found.schema["type"] == "str" and not ELSEWHERE & set(found.name.split("."))
    }  # fmt: skip


TEXTS = read_texts()
IDENTIFIERS = {
    "POST /v1/tools body.name", "PATCH /v1/tools/{tool_id} body.name", "POST /v1/datasets body.name",
    "POST /v1/prompts body.variables[].name", "PATCH /v1/prompts/{prompt_id} body.variables[].name",
    "POST /v1/prompts/render body.variables[].name",
}  # fmt: skip
"""Names that consist of ASCII letters, digits, `_` and `-`, because they are sent to models, or used in SQL."""
OF_VENDORS = ("POST /v1/chat/completions ", "POST /v1/messages ", "POST /v1/messages/count_tokens ")
"""Bodies in the formats of other vendors."""
NAMES = {
    name: found
    for name, found in TEXTS.items()
    if name.rpartition(".")[2] in LINES and name not in IDENTIFIERS and not name.startswith(OF_VENDORS)
}
EMAILS = {name: found for name, found in TEXTS.items() if name.rpartition(".")[2] == "email"}


def test_finds_fields_of_all_kinds() -> None:
    expected = {
        "POST /v1/agents body.name",
        "PATCH /v1/sessions/{session_id} body.title",
        "POST /v1/chat body.end_user",
        "POST /v1/tenants body.display_name",
        "POST /v1/auth/invitations/accept body.name",
    }
    assert expected <= set(NAMES)
    assert {"POST /v1/users body.email", "POST /v1/tenants body.admin.email"} <= set(EMAILS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("char", ["\u0000", "\n", "\u007f", "\u200b", "\u202e", "\u2066", "\u2028", "\u3164", "\ue0ff"])
def test_rejects_invisible_characters_in_names(name: str, char: str) -> None:
    with pytest.raises(ValidationError) as refused:
        NAMES[name].validate_python(f"a{char}b")
    assert "must be one line of visible characters" in str(refused.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["علی‌رضا", "👩‍👩‍👧", "क्‍ष", "❤️"])
def test_keeps_joiners_in_names(name: str, text: str) -> None:
    assert NAMES[name].validate_python(text) == text


@pytest.mark.parametrize("name", EMAILS)
@pytest.mark.parametrize("text", ["Ann@b.example ", " Ann@b.example", "\tAnn@b.example\r\n"])
def test_strips_whitespace_around_an_email(name: str, text: str) -> None:
    read: Any = EMAILS[name].validate_python(text)
    assert read.strip() == "Ann@b.example"
    assert name == "POST /v1/auth/login body.email" or read == "Ann@b.example"
