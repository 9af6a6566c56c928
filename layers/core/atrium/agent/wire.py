"""The events of a run as clients see them: numbered without a gap, in the field names of the contract.

`start`, `usage`, `final` and `error` are made from the run's own record, live and in a replay alike.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, assert_never

from atrium.agent.steps import STEP_SEPARATOR, LoopEvent, TextPiece, ThinkingPiece, ToolAnswered, ToolCalled
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import RunId
from atrium.llm.catalogue import format_cost
from atrium.runs.model import Message, Outcome, Run, RunError, RunEvent, Spend


@dataclass(slots=True)
class Sequencer:
    """Gives each loop event its number."""

    after: int

    @property
    def last(self) -> int:
        return self.after

    def number(self, piece: LoopEvent) -> RunEvent:
        self.after += 1
        kind, data = _describe(piece)
        return RunEvent(self.after, kind, data)


def _describe(piece: LoopEvent) -> tuple[str, dict[str, Any]]:
    match piece:
        case TextPiece(text):
            return "text", {"content": text}
        case ThinkingPiece(text):
            return "thinking", {"content": text}
        case ToolCalled(call):
            return "tool_call", {"tool_call_id": call.id, "tool": call.name, "args": dict(call.input)}
        case ToolAnswered(call, answer):
            return "tool_result", {
                "tool_call_id": call.id,
                "tool": call.name,
                "result": answer.content,
                "is_error": answer.is_error,
            }
        case _:
            assert_never(piece)


def start_event(run: Run) -> RunEvent:
    return RunEvent(1, "start", {"session_id": run.session_id, "run_id": run.id, "model": run.model})


def error_event(run_id: RunId, sequence: int, error: AtriumError | RunError) -> RunEvent:
    """Return the event that ends the stream of a run that failed; `read_error` reads it."""
    told = error if isinstance(error, RunError) else RunError.of(error)
    fields = {name: value for name, value in asdict(told).items() if value is not None}
    return RunEvent(sequence, "error", {"run_id": run_id, **fields})


def read_error(event: RunEvent) -> AtriumError:
    """Return the error that an `error` event contains."""
    fields = dict(event.data)
    run_id = fields.pop("run_id")
    return RunError(**fields).to_failure(run_id)


def closing_events(run_id: RunId, outcome: Outcome, *, after: int) -> Iterator[RunEvent]:
    """Yield how an ended run closes its stream: `usage` and `final`, or `error`, numbered from `after` on."""
    if outcome.error is not None:
        yield error_event(run_id, after + 1, outcome.error)
        return
    yield RunEvent(after + 1, "usage", usage_fields(outcome.spend))
    yield RunEvent(
        after + 2,
        "final",
        {
            "message_id": answer_id(outcome.messages),
            "content": answer_text(outcome.messages),
            "stop_reason": outcome.stop_reason,
            "degraded": outcome.degraded,
        },
    )


def usage_fields(spend: Spend) -> dict[str, Any]:
    """Return `usage` as the contract has it; money to six decimals, `estimated` only where it is."""
    tokens = spend.tokens
    return {
        "input_tokens": tokens.input_tokens,
        "output_tokens": tokens.output_tokens,
        "cache_read_tokens": tokens.cache_read_tokens,
        "cache_write_tokens": tokens.cache_write_tokens,
        "tool_calls": spend.tool_call_count,
        "cost_usd": format_cost(spend.cost_nanos),
        **({"estimated": True} if tokens.estimated else {}),
    }


def answer_id(messages: Sequence[Message]) -> str | None:
    """Return the id of the last message of the assistant; None where it said nothing."""
    answers = [message.id for message in messages if message.role == "assistant"]
    return answers[-1] if answers else None


def answer_text(messages: Sequence[Message]) -> str:
    """Return the whole text of the answer, as its pieces were streamed: steps are parted by an empty line."""
    texts = (message.text for message in messages if message.role == "assistant")
    return STEP_SEPARATOR.join(text for text in texts if text)
