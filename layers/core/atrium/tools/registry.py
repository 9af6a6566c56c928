"""The registry of tools, and the execution of tool calls within limits. A call always returns a tool result.

With a guard, each call is checked against the tenant's policies and audited. If a policy denies the call, the model
receives a tool result that reports this denial, and can continue without the tool.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from pydantic import ValidationError

from atrium.llm.content import OMITTED_BECAUSE, encode_result, omit_images, size_of, text_of
from atrium.llm.model import Image, ResultContent, Text, ToolSchema
from atrium.policy.guard import PolicyGuard
from atrium.policy.model import EXECUTE
from atrium.tools.calculator import CALCULATOR
from atrium.tools.clock import CURRENT_TIME
from atrium.tools.done import DONE
from atrium.tools.files import FILE_DELETE, FILE_LIST, FILE_READ, FILE_WRITE
from atrium.tools.knowledge import KNOWLEDGE_SEARCH
from atrium.tools.model import EffectClass, Tool, ToolContext, ToolRefusal, ToolRetry
from atrium.tools.output import bound_text, read_output
from atrium.tools.search import WEB_SEARCH
from atrium.tools.sql import DATASET_LIST, SQL_QUERY
from atrium.tools.todo import TODO
from atrium.tools.web import WEB_FETCH

BUILT_IN: tuple[Tool[Any], ...] = (
    CALCULATOR, CURRENT_TIME, TODO, WEB_FETCH, WEB_SEARCH, FILE_LIST, FILE_READ, FILE_WRITE, FILE_DELETE, DATASET_LIST,
    SQL_QUERY, KNOWLEDGE_SEARCH,
)  # fmt: skip
"""All built-in tools. Policies can name them, and other tools cannot have their names, in every deployment."""
MESSAGE_IMAGE_BYTES_MAX = 3_000_000
"""Maximum size of the images of one message. In base64, they fit into a Lambda response of 6 MB."""
_NAME_SHOWN = 100
_SCHEMAS_MAX = 256
AMOUNT = "amount"
_DENIED = "The tenant's policies do not allow the tool {}: the permission `{}` is missing."
_WITHHELD = "The result was withheld because it looks like a prompt injection ({})."


def offered_tools(*, web_search: bool, knowledge: bool) -> tuple[Tool[Any], ...]:
    """Return the built-in tools of a deployment that has, or does not have, these services."""
    exists = {WEB_SEARCH.name: web_search, KNOWLEDGE_SEARCH.name: knowledge}
    return tuple(tool for tool in BUILT_IN if exists.get(tool.name, True))


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """A tool result as it is sent to the model. `defect` is an unexpected exception that the tool raised."""

    result: ResultContent
    is_error: bool
    defect: BaseException | None = None

    @property
    def content(self) -> str | list[dict[str, Any]]:
        """Return the result in the format of the API."""
        return encode_result(self.result)

    def after(self, note: str) -> "ToolAnswer":
        """Return the result with a text before it, if there is one."""
        if not note:
            return self
        return replace(
            self, result=f"{note}\n{self.result}" if isinstance(self.result, str) else (Text(note), *self.result)
        )

    @property
    def text(self) -> str:
        """Return the text of the result, without images."""
        return text_of(self.result)


@dataclass(slots=True)
class ImageBudget:
    """Bounds the images of all results of one model answer, because they are stored and shown as one message."""

    bytes_left: int = MESSAGE_IMAGE_BYTES_MAX

    def fit(self, answer: ToolAnswer) -> ToolAnswer:
        """Return the next result. If its images are too large, they become a text that says so."""
        if isinstance(answer.result, str):
            return answer
        size = sum(size_of(block.data) for block in answer.result if isinstance(block, Image))
        if size > self.bytes_left:
            fault = f"and the images of other results have more than {MESSAGE_IMAGE_BYTES_MAX} bytes"
            return replace(answer, result=omit_images(answer.result, OMITTED_BECAUSE.format(fault)))
        self.bytes_left -= size
        return answer


class ToolRegistry:
    """The tools that one agent may call."""

    def __init__(self, tools: Iterable[Tool[Any]] = BUILT_IN) -> None:
        self._tools = {tool.name: tool for tool in tools}

    @property
    def tools(self) -> tuple[Tool[Any], ...]:
        return tuple(self._tools.values())

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._tools)

    def get(self, name: str) -> Tool[Any]:
        """Return the tool with this name. Raise `KeyError` if there is none."""
        return self._tools[name]

    def note_waiting(self, names: Sequence[str], context: ToolContext) -> None:
        """Record that a run waits for the approval of calls of these tools."""

    def find_problem(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Return what is wrong with the arguments of a tool, or "" if they are valid or the tool is not known."""
        try:
            if name in self._tools:
                self._tools[name].read(arguments)
        except ValidationError as error:
            return _problems(error)
        return ""

    @property
    def approvals(self) -> frozenset[str]:
        """The names of the tools whose calls a person must approve."""
        return frozenset(tool.name for tool in self._tools.values() if tool.requires_approval)

    def effect(self, name: str) -> EffectClass:
        """Return the effect class of a tool. A tool that does not exist has no effect."""
        return self._tools[name].effect if name in self._tools else "pure"

    def choose(self, names: Iterable[str]) -> "ToolRegistry":
        """Return a registry with these tools. Unknown names are skipped."""
        return self._of(self._tools[name] for name in names if name in self._tools)

    def add(self, *tools: Tool[Any]) -> "ToolRegistry":
        """Return this registry with more tools."""
        return self._of([*self._tools.values(), *tools])

    def _of(self, tools: Iterable[Tool[Any]]) -> "ToolRegistry":
        return ToolRegistry(tools)

    def schemas(self) -> tuple[ToolSchema, ...]:
        """Return the tool schemas for a model. Schemas are cached, because creating one takes a millisecond."""
        return tuple(map(_schema, self._tools.values()))

    def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolAnswer:
        """Call a tool, limited by the tool's timeout. Every failure is returned as an error result.

        A thread cannot be stopped, so a call that timed out continues in the background.
        """
        tool = self._tools.get(name)
        if tool is None:
            return ToolAnswer(f"There is no tool named {name[:_NAME_SHOWN]}.", is_error=True)
        answers: SimpleQueue[ToolAnswer] = SimpleQueue()
        work = Thread(
            target=lambda: answers.put(_answer(tool, arguments, context)), name=f"tool-{tool.name}", daemon=True
        )
        work.start()
        try:
            return answers.get(timeout=tool.timeout_seconds)
        except Empty:
            return ToolAnswer(f"The tool timed out after {tool.timeout_seconds} s.", is_error=True)


@lru_cache(maxsize=_SCHEMAS_MAX)
def _schema(tool: Tool[Any]) -> ToolSchema:
    return ToolSchema(tool.name, tool.description, tool.input_schema())


def _answer(tool: Tool[Any], arguments: Mapping[str, Any], context: ToolContext) -> ToolAnswer:
    try:
        result = read_output(tool.call(arguments, context))
    except ValidationError as error:
        return ToolAnswer(bound_text(f"The arguments are not valid: {_problems(error)}"), is_error=True)
    except (ToolRetry, ToolRefusal) as error:
        return ToolAnswer(bound_text(str(error)), is_error=True)
    except Exception as error:  # noqa: BLE001 - a defect of one tool must not lose the turn
        return ToolAnswer("The tool failed.", is_error=True, defect=error)
    return ToolAnswer(result, is_error=False)


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The end of one tool call."""

    tool: str
    seconds: float
    is_error: bool


class GuardedTools(ToolRegistry):
    """A registry that checks each call against the policies. `done` is not checked, because it only ends the run.

    If the audit event of a call cannot be written, the call fails. `on_call` is called after each call.
    """

    def __init__(
        self,
        guard: PolicyGuard,
        tools: Iterable[Tool[Any]] = BUILT_IN,
        on_call: Callable[[ToolCallEnd], object] = lambda _call: None,
    ) -> None:
        super().__init__(tools)
        self._guard, self._on_call = guard, on_call

    def _of(self, tools: Iterable[Tool[Any]]) -> ToolRegistry:
        return GuardedTools(self._guard, tools, self._on_call)

    def note_waiting(self, names: Sequence[str], context: ToolContext) -> None:
        details = {"run_id": context.run_id, "tools": list(names)}
        self._guard.audit.record("tool.approval", details, session_id=context.session_id, end_user=context.end_user)

    def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolAnswer:
        if name not in self.names or name == DONE.name:
            return super().call(name, arguments, context)
        session_id, amount = context.session_id, amount_of(arguments)
        for action in required_actions(self._tools[name]):
            if not self._guard.check_permission(f"tool:{name}", action, amount=amount, session_id=session_id):
                return ToolAnswer(_DENIED.format(name, action), is_error=True)
        began = time.monotonic()
        answer = super().call(name, arguments, context)
        seconds = time.monotonic() - began
        self._on_call(ToolCallEnd(name, seconds, answer.is_error))
        self._guard.audit.record_tool_call(
            name,
            self._tools[name].version,
            arguments,
            result_length=len(answer.text),
            is_error=answer.is_error,
            duration_ms=round(seconds * 1000),
            session_id=session_id,
            end_user=context.end_user,
        )
        signals = self._guard.screen(answer.text, f"tool:{name}", session_id=session_id, end_user=context.end_user)
        return ToolAnswer(_WITHHELD.format(", ".join(signals)), is_error=True) if signals else answer


def required_actions(tool: Tool[Any]) -> tuple[str, ...]:
    """Return the actions that the policies must allow on a tool: `execute`, and its permission `write` or `admin`."""
    return (EXECUTE, tool.permission) if tool.permission in ("write", "admin") else (EXECUTE,)


def amount_of(arguments: Mapping[str, Any]) -> Decimal | None:
    """Return the argument `amount` of a call, or None if it is missing or not a finite number."""
    value = arguments.get(AMOUNT)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
