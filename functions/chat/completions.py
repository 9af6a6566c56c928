"""`POST /v1/chat/completions`: a turn in OpenAI's format, for programs that use OpenAI's API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any, Literal

from atrium.agent.turn import Turn
from atrium.context.caller import is_call_of
from atrium.http.dependencies import GatewayContextDep, RuntimeDep, TenantDep, require
from atrium.http.guarding import is_admitted
from atrium.http.idempotency import read_key_header
from atrium.http.models import StrictModel
from atrium.http.responses import problem_responses
from atrium.kernel.ids import RunId
from atrium.llm.model import ToolUse
from atrium.runs.model import Run, RunEvent, answer_text, usage_fields
from fastapi import APIRouter, Depends, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from functions.chat.caller_turns import (
    SessionHeader,
    limit_figures,
    require_answer,
    stream_call,
    stream_failure,
)
from functions.chat.chat import Attempt, answer_turn, limit_headers
from functions.chat.completion_models import CompletionBody
from functions.chat.completion_parts import CompletionCall, FunctionCall
from functions.chat.sse import KEEP_ALIVE
from functions.chat.vendor_errors import openai_error

router = APIRouter(tags=["compatible"], dependencies=[require("chat"), Depends(read_key_header)])
_REFUSALS = problem_responses(400, 403, 404, 409, 429, 502, 504)
_DONE = b"data: [DONE]\n\n"
type FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
_STOPPED: Mapping[str | None, FinishReason] = {
    "end_turn": "stop", "stop_sequence": "stop", "done": "stop", "fallback": "stop", "pause_turn": "stop",
    "tool_use": "tool_calls", "refusal": "content_filter",
}  # fmt: skip
"""The finish reasons. A turn that any limit ended has the reason `length`."""


class PromptTokensDetails(StrictModel):
    """How the prompt tokens divide."""

    cached_tokens: int
    """Tokens that were read from the provider's cache."""
    audio_tokens: int = 0
    """Always 0."""


class CompletionUsage(StrictModel):
    """Tokens of the turn, of all its model calls."""

    prompt_tokens: int
    """Tokens of the prompts, cached or not."""
    completion_tokens: int
    """Tokens of the answers, including thinking."""
    total_tokens: int
    """Sum of both."""
    prompt_tokens_details: PromptTokensDetails
    """Parts of the prompt tokens."""


class CompletionAnswerMessage(StrictModel):
    """Text and calls of an answer."""

    role: Literal["assistant"] = "assistant"
    """Always `assistant`."""
    content: str | None
    """Text of the answer. Null if it only has calls."""
    refusal: None = None
    """Always null. A refusal is in `content`, and `finish_reason` is `content_filter`."""
    annotations: list[str] = Field(default_factory=list)
    """Always empty."""
    tool_calls: Annotated[list[CompletionCall] | None, Field(exclude_if=lambda calls: calls is None)] = None
    """Calls of your functions. Absent if there are none."""


class CompletionChoice(StrictModel):
    """The only answer."""

    index: Literal[0] = 0
    """Always 0."""
    message: CompletionAnswerMessage
    """The answer."""
    logprobs: None = None
    """Always null."""
    finish_reason: FinishReason
    """Why the answer ended: `stop`, `length` (a limit of tokens, cost, iterations or time), `tool_calls` or
    `content_filter` (the model refused).
    """


class Completion(StrictModel):
    """An answer in OpenAI's format."""

    id: str
    """`chatcmpl-` and the id of the run without `run_`."""
    object: Literal["chat.completion"] = "chat.completion"
    """Always `chat.completion`."""
    created: int
    """Start of the turn, in seconds since 1970."""
    model: str
    """Id of the model that answered."""
    choices: list[CompletionChoice]
    """One answer."""
    usage: CompletionUsage
    """Tokens of the turn."""
    service_tier: Literal["default"] = "default"
    """Always `default`."""
    system_fingerprint: None = None
    """Always null."""


_DOCUMENTATION: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Completion,
        "description": "The answer. With `stream`, the chunks of OpenAI's format as server-sent events, then `[DONE]`",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.post("/v1/chat/completions", responses={**_REFUSALS, **_DOCUMENTATION}, response_model=Completion)
@is_admitted
async def create_completion(
    body: CompletionBody,
    response: Response,
    tenant: TenantDep,
    runtime: RuntimeDep,
    attempt: Attempt,
    gateway_context: GatewayContextDep,
    session_id: SessionHeader = None,
) -> Completion | StreamingResponse:
    """Answer a conversation (OpenAI).

    Takes and returns OpenAI's format, so programs that use OpenAI's API only change the base URL, the key and the
    model. `model` is a model, or an agent with its prompt and tools. Your functions are passed to the model, and their
    calls are returned to you. The call belongs to no session, unless the header `X-Session-ID` names one. Errors have
    OpenAI's format.
    """
    asked = body.to_domain(session_id)
    if body.stream:
        request_id = gateway_context.request_id
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return await stream_call(
            asked, tenant, runtime, attempt, lambda run: ChunkEncoder(run, request_id, with_usage), _headers
        )
    run, headers = await run_in_threadpool(answer_turn, asked, tenant, runtime, attempt, _headers)
    answer = render_completion(require_answer(run, headers))
    response.headers.update(headers)
    return answer


def _headers(turn: Turn) -> dict[str, str]:
    """Return the headers of the platform and OpenAI's headers of the limits."""
    found = limit_headers(turn)
    now = turn.run.started_at.timestamp()
    for name, usage in limit_figures(turn):
        found[f"x-ratelimit-limit-{name}"] = str(usage.max)
        found[f"x-ratelimit-remaining-{name}"] = str(max(0, usage.max - usage.used))
        found[f"x-ratelimit-reset-{name}"] = f"{max(0, ceil((usage.resets_at or now) - now))}s"
    return found


def render_completion(run: Run) -> Completion:
    """Return the answer of an ended run."""
    messages = run.outcome.messages if run.outcome else ()
    calls = [
        _render_call(block)
        for message in messages
        for block in message.content
        if isinstance(block, ToolUse) and is_call_of(run.id, block.id)
    ]
    text = answer_text(messages)
    message = CompletionAnswerMessage(content=text or (None if calls else ""), tool_calls=calls or None)
    finish = _finish(run.outcome.stop_reason if run.outcome else None)
    return Completion(
        id=_completion_id(run.id),
        created=int(run.started_at.timestamp()),
        model=run.model,
        choices=[CompletionChoice(message=message, finish_reason=finish)],
        usage=_usage(usage_fields(run.spend)),
    )


def _completion_id(run_id: RunId) -> str:
    return f"chatcmpl-{run_id.removeprefix('run_')}"


def _finish(stop_reason: str | None) -> FinishReason:
    return _STOPPED.get(stop_reason, "length")


def _render_call(call: ToolUse) -> CompletionCall:
    arguments = json.dumps(call.input, ensure_ascii=False, separators=(",", ":"))
    return CompletionCall(id=call.id, type="function", function=FunctionCall(name=call.name, arguments=arguments))


def _usage(usage: Mapping[str, Any]) -> CompletionUsage:
    """Return OpenAI's usage for the platform's."""
    cached = usage["cache_read_tokens"]
    prompt = usage["input_tokens"] + cached + usage["cache_write_tokens"]
    return CompletionUsage(
        prompt_tokens=prompt,
        completion_tokens=usage["output_tokens"],
        total_tokens=prompt + usage["output_tokens"],
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
    )


@dataclass(slots=True)
class ChunkEncoder:
    """Encodes the events of a run as OpenAI's chunks."""

    run: Run
    request_id: str
    with_usage: bool
    _usage: CompletionUsage | None = None
    _calls: int = 0
    _has_role: bool = False

    def encode(self, event: RunEvent | None) -> bytes:
        if event is None:
            return KEEP_ALIVE
        data = event.data
        match event.type:
            case "text":
                return self._delta({"content": data["content"]})
            case "tool_call" if is_call_of(self.run.id, data["tool_call_id"]):
                return self._call(data)
            case "usage":
                self._usage = _usage(data)
            case "final" | "error":
                return self._end(event)
        return b""

    def _call(self, data: Mapping[str, Any]) -> bytes:
        call = _render_call(ToolUse(data["tool_call_id"], data["tool"], data["args"]))
        whole = call.model_dump()
        begun = {**whole, "index": self._calls, "function": {**whole["function"], "arguments": ""}}
        rest = {"index": self._calls, "function": {"arguments": call.function.arguments}}
        self._calls += 1
        return self._delta({"tool_calls": [begun]}) + self._delta({"tool_calls": [rest]})

    def _end(self, event: RunEvent) -> bytes:
        failure = stream_failure(self.run, event)
        if failure is not None:
            return _event(openai_error(failure, self.request_id).body)
        last = self._chunk([_choice({}, _finish(event.data["stop_reason"]))])
        if self.with_usage and self._usage is not None:
            last += self._chunk([], self._usage.model_dump())
        return self._begin() + last + _DONE

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return self._begin() + self._chunk([_choice(delta)])

    def _begin(self) -> bytes:
        """Return the first chunk, which has the role, or nothing if it was sent."""
        if self._has_role:
            return b""
        self._has_role = True
        return self._chunk([_choice({"role": "assistant", "content": "", "refusal": None})])

    def _chunk(self, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None = None) -> bytes:
        fields = {
            "id": _completion_id(self.run.id), "object": "chat.completion.chunk",
            "created": int(self.run.started_at.timestamp()), "model": self.run.model,
            "choices": choices, "service_tier": "default", "system_fingerprint": None,
        }  # fmt: skip
        return _event({**fields, "usage": usage} if self.with_usage else fields)


def _choice(delta: Mapping[str, Any], finish: FinishReason | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}


def _event(fields: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(fields, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
