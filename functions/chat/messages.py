"""`POST /v1/messages` and `/v1/messages/count_tokens`: a turn in Anthropic's format, and the size of its prompt."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from atrium.agent.turn import Turn
from atrium.context.caller import is_call_of
from atrium.http.context import GatewayContext
from atrium.http.dependencies import GatewayContextDep, RuntimeDep, TenantDep, require
from atrium.http.guarding import is_admitted
from atrium.http.idempotency import read_key_header
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.http.turns import turn_service
from atrium.http.validation import takes_any_query
from atrium.kernel.clock import format_time
from atrium.kernel.ids import RunId
from atrium.llm.model import Text, Thinking, ToolUse
from atrium.quotas.limits import moment
from atrium.runs.model import STEP_SEPARATOR, Run, RunEvent, usage_fields
from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, JsonValue
from starlette.concurrency import run_in_threadpool

from functions.chat.caller_turns import (
    SessionHeader,
    limit_figures,
    require_answer,
    stream_call,
    stream_failure,
)
from functions.chat.chat import Attempt, answer_turn, limit_headers
from functions.chat.message_models import CountBody, MessageBody
from functions.chat.vendor_errors import anthropic_error

router = APIRouter(tags=["compatible"], dependencies=[require("chat")])
_REFUSALS = problem_responses(400, 403, 404, 409, 429, 502, 504)
type MessageStop = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"
]
_STOPPED: Mapping[str | None, MessageStop] = {
    "end_turn": "end_turn", "done": "end_turn", "fallback": "end_turn", "stop_sequence": "stop_sequence",
    "tool_use": "tool_use", "pause_turn": "pause_turn", "refusal": "refusal",
    "context_overflow": "model_context_window_exceeded",
}  # fmt: skip
"""The stop reasons. A turn that any limit ended has the reason `max_tokens`."""


class AnswerText(StrictModel):
    """Text of the answer."""

    type: Literal["text"] = "text"
    """Type of the block."""
    text: str
    """The text."""


class AnswerThinking(StrictModel):
    """Thinking of the model. Present only if the request has `thinking`."""

    type: Literal["thinking"] = "thinking"
    """Type of the block."""
    thinking: str
    """The text."""
    signature: str
    """The provider's signature. Empty in a stream: the platform keeps it for the next call with results of tools."""


class AnswerToolUse(StrictModel):
    """A call of one of your tools."""

    type: Literal["tool_use"] = "tool_use"
    """Type of the block."""
    id: str
    """Id of the call. Its result refers to it."""
    name: str
    """Name of the tool."""
    input: dict[str, JsonValue]
    """The arguments."""


type AnswerPart = Annotated[AnswerText | AnswerThinking | AnswerToolUse, Field(discriminator="type")]


class VendorMessageUsage(StrictModel):
    """Tokens of the turn, of all its model calls."""

    input_tokens: int
    """Input tokens that were neither read from nor written to the provider's cache."""
    cache_creation_input_tokens: int
    """Input tokens written to the provider's cache."""
    cache_read_input_tokens: int
    """Input tokens read from the provider's cache."""
    output_tokens: int
    """Output tokens, including thinking."""
    service_tier: Literal["standard"] = "standard"
    """Always `standard`."""


class VendorMessage(StrictModel):
    """An answer in Anthropic's format."""

    id: str
    """`msg_` and the id of the run without `run_`."""
    type: Literal["message"] = "message"
    """Always `message`."""
    role: Literal["assistant"] = "assistant"
    """Always `assistant`."""
    model: str
    """Id of the model that answered."""
    content: list[AnswerPart]
    """The answer."""
    stop_reason: MessageStop
    """Why the answer ended. `max_tokens` also stands for the platform's limits of cost, iterations and time."""
    stop_sequence: str | None
    """The stop sequence that ended the answer, or null."""
    usage: VendorMessageUsage
    """Tokens of the turn."""


class TokenCount(StrictModel):
    """The size of a prompt."""

    input_tokens: int
    """Number of tokens."""


_DOCUMENTATION: dict[int | str, dict[str, Any]] = {
    200: {
        "model": VendorMessage,
        "description": "The answer. With `stream`, the events of Anthropic's format as server-sent events",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.post(
    "/v1/messages",
    responses={**_REFUSALS, **_DOCUMENTATION},
    response_model=VendorMessage,
    dependencies=[Depends(read_key_header)],
)
@is_admitted
@takes_any_query
async def create_message(
    body: MessageBody,
    response: Response,
    tenant: TenantDep,
    runtime: RuntimeDep,
    attempt: Attempt,
    gateway_context: GatewayContextDep,
    session_id: SessionHeader = None,
) -> VendorMessage | StreamingResponse:
    """Answer a conversation (Anthropic).

    Takes and returns Anthropic's format, so programs that use Anthropic's API only change the base URL, the key and the
    model. `model` is a model, or an agent with its prompt and tools. Your tools are passed to the model, and their
    calls are returned to you. The call belongs to no session, unless the header `X-Session-ID` names one. Errors have
    Anthropic's format.
    """
    asked, shows = body.to_domain(session_id), body.shows_thinking
    if body.stream:
        streamed = await stream_call(
            asked,
            tenant,
            runtime,
            attempt,
            lambda run: MessageEncoder(run, gateway_context.request_id, shows),
            _headers,
        )
        streamed.headers.update(_request_id(gateway_context))
        return streamed
    run, headers = await run_in_threadpool(answer_turn, asked, tenant, runtime, attempt, _headers)
    answer = render_message(require_answer(run, headers), shows_thinking=shows)
    response.headers.update({**headers, **_request_id(gateway_context)})
    return answer


@router.post("/v1/messages/count_tokens", responses=problem_responses(400, 404, 502, 504))
@takes_any_query
def count_message_tokens(
    body: CountBody,
    response: Response,
    tenant: TenantDep,
    runtime: RuntimeDep,
    gateway_context: GatewayContextDep,
    session_id: SessionHeader = None,
) -> TokenCount:
    """Count the tokens of a prompt.

    Returns the size of the first prompt of the same call of `POST /v1/messages`, with the agent's prompt and tools. The
    provider counts it if it can. Otherwise the number is an upper bound that the platform computes. Nothing is charged.
    """
    response.headers.update(_request_id(gateway_context))
    return TokenCount(input_tokens=turn_service(runtime, tenant).count_tokens(body.to_domain(session_id)))


def _request_id(gateway_context: GatewayContext) -> dict[str, str]:
    """Return the header in which Anthropic's SDKs read the id of a call."""
    return {"request-id": gateway_context.request_id}


def _headers(turn: Turn) -> dict[str, str]:
    """Return the headers of the platform and Anthropic's headers of the limits."""
    found = limit_headers(turn)
    for name, usage in limit_figures(turn):
        found[f"anthropic-ratelimit-{name}-limit"] = str(usage.max)
        found[f"anthropic-ratelimit-{name}-remaining"] = str(max(0, usage.max - usage.used))
        if usage.resets_at is not None:
            found[f"anthropic-ratelimit-{name}-reset"] = format_time(moment(usage.resets_at))
    return found


def render_message(run: Run, *, shows_thinking: bool) -> VendorMessage:
    """Return the answer of an ended run."""
    return VendorMessage(
        id=_message_id(run.id),
        model=run.model,
        content=list(_parts(run, shows_thinking=shows_thinking)),
        stop_reason=_stop(run.outcome.stop_reason if run.outcome else None),
        stop_sequence=run.outcome.stop_sequence if run.outcome else None,
        usage=VendorMessageUsage.model_validate(_usage(usage_fields(run.spend))),
    )


def _parts(run: Run, *, shows_thinking: bool) -> Iterator[AnswerPart]:
    """Yield the thinking and text of all model calls of a turn, and the calls of the caller's tools."""
    texts: list[str] = []  # of the text block that is not complete
    for message in run.outcome.messages if run.outcome else ():
        if texts and message.role == "assistant" and message.text:
            texts.append(STEP_SEPARATOR)
        for block in message.content:
            match block:
                case Text(text) if message.role == "assistant":
                    texts.append(text)
                case Thinking(text, signature, redacted=False) if shows_thinking:
                    yield from _text_part(texts)
                    yield AnswerThinking(thinking=text, signature=signature)
                case ToolUse(id=call) if is_call_of(run.id, call):
                    yield from _text_part(texts)
                    yield AnswerToolUse(id=call, name=block.name, input=dict(block.input))
    yield from _text_part(texts)


def _text_part(texts: list[str]) -> Iterator[AnswerText]:
    """Yield a block with the texts, and remove them from the list."""
    if texts:
        yield AnswerText(text="".join(texts))
        texts.clear()


def _message_id(run_id: RunId) -> str:
    return f"msg_{run_id.removeprefix('run_')}"


def _stop(stop_reason: str | None) -> MessageStop:
    return _STOPPED.get(stop_reason, "max_tokens")


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    """Return the token counts under Anthropic's names."""
    return {
        "input_tokens": usage["input_tokens"],
        "cache_creation_input_tokens": usage["cache_write_tokens"],
        "cache_read_input_tokens": usage["cache_read_tokens"],
        "output_tokens": usage["output_tokens"],
    }


_NO_USAGE = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}
"""The usage in `message_start`. The provider has not reported it, so `message_delta` has all counts."""


_EMPTY = {"text": {"type": "text", "text": ""}, "thinking": {"type": "thinking", "thinking": "", "signature": ""}}
"""The block with which `content_block_start` begins a text or thinking."""


@dataclass(slots=True)
class MessageEncoder:
    """Encodes the events of a run as Anthropic's events."""

    run: Run
    request_id: str
    shows_thinking: bool
    _usage: Mapping[str, int] | None = None
    _index: int = -1
    _open: Literal["text", "thinking"] | None = None

    def encode(self, event: RunEvent | None) -> bytes:
        if event is None:
            return _event("ping", {})
        data = event.data
        match event.type:
            case "start":
                return self._begin()
            case "text" | "thinking" as kind if kind == "text" or self.shows_thinking:
                return self._piece(kind, data["content"])
            case "tool_call" if is_call_of(self.run.id, data["tool_call_id"]):
                return self._call(data)
            case "usage":
                self._usage = _usage(data)
            case "final" | "error":
                return self._end(event)
        return b""

    def _begin(self) -> bytes:
        message: dict[str, Any] = {
            "id": _message_id(self.run.id), "type": "message", "role": "assistant", "model": self.run.model,
            "content": [], "stop_reason": None, "stop_sequence": None, "usage": _NO_USAGE,
        }  # fmt: skip
        return _event("message_start", {"message": message})

    def _piece(self, kind: Literal["text", "thinking"], text: str) -> bytes:
        begun = b""
        if self._open != kind:
            begun = self._close()
            self._open = kind
            self._index += 1
            begun += _event("content_block_start", {"index": self._index, "content_block": _EMPTY[kind]})
        return begun + self._delta({"type": f"{kind}_delta", kind: text})

    def _call(self, data: Mapping[str, Any]) -> bytes:
        sent = self._close()
        self._index += 1
        block = {"type": "tool_use", "id": data["tool_call_id"], "name": data["tool"], "input": {}}
        sent += _event("content_block_start", {"index": self._index, "content_block": block})
        sent += self._delta({"type": "input_json_delta", "partial_json": _json(data["args"])})
        return sent + _event("content_block_stop", {"index": self._index})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        sent = self._delta({"type": "signature_delta", "signature": ""}) if self._open == "thinking" else b""
        self._open = None
        return sent + _event("content_block_stop", {"index": self._index})

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})

    def _end(self, event: RunEvent) -> bytes:
        failure, data = stream_failure(self.run, event), event.data
        if failure is not None:
            body = anthropic_error(failure, self.request_id).body
            return _event("error", {name: value for name, value in body.items() if name != "type"})
        delta = {"stop_reason": _stop(data["stop_reason"]), "stop_sequence": data.get("stop_sequence")}
        ended = _event("message_delta", {"delta": delta, "usage": self._usage or _NO_USAGE})
        return self._close() + ended + _event("message_stop", {})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _event(kind: str, fields: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {_json({'type': kind, **fields})}\n\n".encode()
