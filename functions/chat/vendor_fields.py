"""Field types of the requests in the formats of OpenAI and Anthropic."""

from functools import partial
from typing import Annotated

from atrium.http.models import FreeJson, check_free_json
from atrium.kernel.errors import named_pattern
from atrium.llm.normalise import DEPTH_MAX, NAME_PATTERN, NAME_RULE
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

TEXT_MAX = 1_000_000
"""Maximum length of a text, in characters. The body is limited to 1 MiB."""
MESSAGES_MAX = 2_000
PARTS_MAX = 1_000
TOOLS_MAX = 128

LongText = Annotated[str, Field(max_length=TEXT_MAX)]
ShortText = Annotated[str, Field(max_length=10_000)]
ToolName = Annotated[str, Field(pattern=named_pattern(f"^{NAME_PATTERN}$", NAME_RULE))]
CallId = Annotated[
    str, Field(pattern=named_pattern("^[a-zA-Z0-9_-]{1,128}$", "must have 1 to 128 letters, digits, `_` or `-`"))
]
Arguments = Annotated[
    dict[str, JsonValue], AfterValidator(partial(check_free_json, bytes_max=TEXT_MAX, depth_max=DEPTH_MAX))
]
"""The arguments of a tool call."""
JsonSchema = FreeJson
"""A JSON Schema, at most 32,000 bytes."""


def _check_object(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if schema.get("type", "object") != "object":
        raise ValueError("must be the JSON Schema of an object")
    return {"type": "object", **schema}


ObjectSchema = Annotated[FreeJson, AfterValidator(_check_object)]
"""The JSON Schema of the arguments of a tool."""
Tokens = Annotated[int, Field(ge=1, le=10_000_000)]


def _as_parts(value: object) -> object:
    """Return a text as a list with one text part, and a list unchanged."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        raise ValueError("must be a string or a list")  # noqa: TRY004 - pydantic reports ValueError
    return value


def text_or_list(kind: object) -> BeforeValidator:
    """Return the validator of a field that takes a text or a list of the given type."""
    return BeforeValidator(_as_parts, json_schema_input_type=LongText | kind)
