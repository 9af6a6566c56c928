"""The result of an invocation: the payload or the runtime's error, and the arrival time of each chunk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type Status = Literal["succeeded", "failed", "timed_out"]

PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = bytes(8)


@dataclass(frozen=True)
class Chunk:
    """A chunk of a response. `seconds` is the time from the start of the invocation until the chunk arrived."""

    seconds: float
    data: bytes


@dataclass(frozen=True)
class FunctionError:
    """An error that the runtime reported, or an error of Lambda itself, such as `Sandbox.Timedout`."""

    type: str
    message: str
    trace: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prelude:
    """The status, headers and cookies that precede the body of a streamed HTTP response."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]


@dataclass(frozen=True)
class Invocation:
    """A finished invocation. `payload` is the whole body without the prelude. `chunks` are the parts of the body."""

    request_id: str
    status: Status
    payload: bytes
    chunks: tuple[Chunk, ...]
    prelude: Prelude | None
    error: FunctionError | None
    seconds: float

    def json(self) -> Json:
        """Return the parsed JSON payload. Raises ValueError if the payload is not JSON."""
        value: Json = json.loads(self.payload)
        return value


def split_prelude(chunks: list[Chunk]) -> tuple[Prelude, tuple[Chunk, ...]]:
    """Return the prelude and the body of a streamed response. The prelude may span several chunks.

    Raises ValueError if the eight NUL bytes are missing or the bytes before them are not a prelude.
    """
    head = b""
    for index, chunk in enumerate(chunks):
        head += chunk.data
        raw, end, rest = head.partition(PRELUDE_END)
        if end:
            body = [Chunk(chunk.seconds, rest), *chunks[index + 1 :]]
            return _read_prelude(raw), tuple(piece for piece in body if piece.data)
    raise ValueError(f"no end of the prelude in {len(head)} bytes")


def _read_prelude(raw: bytes) -> Prelude:
    try:
        fields = json.loads(raw)
        return Prelude(
            status=int(fields["statusCode"]),
            headers={str(name).lower(): str(value) for name, value in fields.get("headers", {}).items()},
            cookies=tuple(str(cookie) for cookie in fields.get("cookies", [])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a prelude: {raw[:200]!r}") from error


def read_error(kind: str, body: bytes) -> FunctionError:
    """Parse the error document that a runtime sends. If the document is invalid, its text is used as the message."""
    try:
        fields = json.loads(body)
        trace = fields.get("stackTrace") or ()
        message = str(fields.get("errorMessage", ""))
        kind = str(fields.get("errorType") or kind)
    except (ValueError, AttributeError):
        message, trace = body.decode("utf-8", "replace"), ()
    return FunctionError(kind or "Unknown", message, tuple(str(line) for line in trace))
