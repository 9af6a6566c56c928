"""Directives: `[[name]]` or `[[name=value]]` in the user's text, which make the server behave as a test needs.

They are listed in infra/docs/model-server.md. `[[word]]` that is no directive stays text; `[[word=…]]` is a 400.
"""

import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from infra.local.model_server.errors import ApiError, invalid

type StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"
]
type RefusalCategory = Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"]

Seconds = Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)]
Pieces = Annotated[int, Field(ge=0, le=100_000)]
Count = Annotated[int, Field(ge=1, le=100_000)]

BARE: dict[str, JsonValue] = {
    "overload_midstream": 2,
    "disconnect": 2,
    "hang": 0,
    "overflow": True,
    "refusal": "general_harms",
    "tools_forever": True,
    "echo": True,
}
OPENING = re.compile(r"\[\[([a-z_]+)(=|\]\])")
TOOL = re.compile(r"\s*([A-Za-z0-9_-]+)\s*")
CLOSING = re.compile(r"\s*\]\]")


class ToolCall(BaseModel):
    """A call that the script asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    input: dict[str, JsonValue]


class Script(BaseModel):
    """The directives of one user text, and in `said` what is left of it; seconds and counts are bounded."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    delay: Seconds = 0
    slow: Seconds = 0
    pieces: Count | None = None
    tokens: Count | None = None
    tool: list[ToolCall] = []
    rounds: Count = 1
    tools_forever: bool = False
    preface: str | None = None
    thinking: str | None = None
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    overflow: bool = False
    overload_midstream: Pieces | None = None
    disconnect: Pieces | None = None
    hang: Pieces | None = None
    times: Count | None = None
    retry_after: Seconds | None = None
    refusal: RefusalCategory | None = None
    stop: StopReason | None = None
    echo: bool = False
    cache_read: Count | None = None
    cache_write: Count | None = None
    said: str = ""

    @property
    def can_fail(self) -> bool:
        """Whether an attempt of this request is made to fail, so that attempts have to be counted."""
        breaks = (self.overload_midstream, self.disconnect, self.hang)
        return self.status is not None or self.overflow or any(after is not None for after in breaks)


NAMES = frozenset(Script.model_fields) - {"said"}


def read_script(text: str) -> Script:
    """Read the directives in `text`; raise 400 for an unknown name with a value or a value that does not fit."""
    values: dict[str, JsonValue] = {}
    calls: list[JsonValue] = []
    kept: list[str] = []
    at = 0
    while opening := OPENING.search(text, at):
        name = opening[1]
        kept.append(text[at : opening.start()])
        at = opening.end()
        if opening[2] == "]]" and name not in NAMES:
            kept.append(opening[0])
        elif opening[2] == "]]":
            values[name] = _bare(name)
        elif name == "tool":
            call, at = _read_call(text, at)
            calls.append(call)
        else:
            values[name], at = _read_value(name, text, at)
    kept.append(text[at:])
    try:
        return Script.model_validate({**values, "tool": calls, "said": "".join(kept).strip()})
    except ValidationError as error:
        raise invalid(error, "directive ") from error


def _bare(name: str) -> JsonValue:
    if name not in BARE:
        raise ApiError(400, f"directive {name}: needs a value, as in [[{name}=…]]")
    return BARE[name]


def _read_value(name: str, text: str, at: int) -> tuple[str, int]:
    if name not in NAMES:
        raise ApiError(400, f"directive {name}: unknown")
    end = text.find("]]", at)
    if end < 0:
        raise ApiError(400, f"directive {name}: not closed by ]]")
    return text[at:end].strip(), end + 2


def _read_call(text: str, at: int) -> tuple[dict[str, JsonValue], int]:
    """Read `name {json}]]`; the JSON is read by its own grammar, so that it may contain `]]`."""
    name = TOOL.match(text, at)
    if name is None:
        raise ApiError(400, "directive tool: needs a name, as in [[tool=calculator {…}]]")
    at = name.end()
    arguments: JsonValue = {}
    if text[at : at + 1] == "{":
        try:
            arguments, at = json.JSONDecoder().raw_decode(text, at)
        except ValueError as error:
            raise ApiError(400, f"directive tool: the input of {name[1]} is not a JSON object") from error
    closing = CLOSING.match(text, at)
    if closing is None:
        raise ApiError(400, f"directive tool: {name[1]} must be followed by a JSON object and ]]")
    return {"name": name[1], "input": arguments}, closing.end()
