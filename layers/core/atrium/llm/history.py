"""Makes a request valid for every provider, whatever the stored conversation contains.

Valid is: messages alternate between user and assistant, begin and end with the user, and none is empty; every tool use
has exactly one result, at the start of the next message, and no result stands alone; ids are identifiers and unique
in the conversation, names are identifiers; arguments are finite JSON of bounded depth; text is UTF-8. What is valid is
not changed, and the repair of a message depends only on those before it, so that the provider's cache of a
conversation that goes on stays good.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from atrium.llm.model import Block, ModelMessage, ModelRequest, Role, Text, Thinking, ToolResult, ToolSchema, ToolUse
from atrium.llm.normalise import clean_arguments, clean_name, clean_text, is_identifier

NO_RESULT = "No result was recorded for this call."
NOTHING_SAID = "(no text)"
UNAVAILABLE_TOOL = ToolSchema(
    "unavailable_tool",
    "Stands for tools that were used earlier in this conversation and are not available any more. Never call it.",
    {"type": "object", "properties": {}},
)


def repair_request(request: ModelRequest) -> ModelRequest:
    """Return the request in a form that every provider takes.

    If messages contain tool calls but the agent has no tools any more, a tool is declared that must not be called:
    providers may reject such messages otherwise. Thinking blocks are left out then, because they are valid only with
    the tools that were declared when they were written.
    """
    messages = repair_messages(request.messages)
    if request.tools or not any(isinstance(block, ToolUse) for message in messages for block in message.content):
        return replace(request, messages=messages)
    plain = (
        ModelMessage(each.role, tuple(block for block in each.content if not isinstance(block, Thinking)))
        for each in messages
    )
    return replace(request, messages=repair_messages(plain), tools=(UNAVAILABLE_TOOL,), tool_choice="none")


def repair_messages(messages: Iterable[ModelMessage]) -> tuple[ModelMessage, ...]:
    """Return the messages of a conversation in valid form, ending with a user message."""
    pairing, paired = _Pairing(), list[tuple[Role, Sequence[Block]]]()
    for message in _merged((each.role, [_cleaned(block) for block in each.content]) for each in messages):
        answers = message.role == "user"
        paired.append((message.role, pairing.answer(message.content) if answers else pairing.ask(message.content)))
    repaired = _merged([*paired, ("user", pairing.answer(()))])
    silence = ModelMessage("user", (Text(NOTHING_SAID),))
    first = [] if repaired and repaired[0].role == "user" else [silence]
    last = [silence] if repaired and repaired[-1].role == "assistant" else []
    return (*first, *repaired, *last)


def _merged(messages: Iterable[tuple[Role, Iterable[Block]]]) -> list[ModelMessage]:
    """Return alternating messages, without blocks that their role may not have and without empty messages."""
    merged: list[ModelMessage] = []
    for role, content in messages:
        blocks = tuple(block for block in content if _may_say(role, block))
        if blocks and merged and merged[-1].role == role:
            merged[-1] = ModelMessage(role, merged[-1].content + blocks)
        elif blocks:
            merged.append(ModelMessage(role, blocks))
    return merged


def _may_say(role: Role, block: Block) -> bool:
    match block:
        case Text(text):
            return bool(text.strip())
        case ToolResult():
            return role == "user"
        case _:
            return role == "assistant"


def _cleaned(block: Block) -> Block:
    match block:
        case Text(text):
            return Text(clean_text(text))
        case ToolUse(input=arguments):
            return replace(block, name=clean_name(block.name), input=clean_arguments(arguments)[0], problem="")
        case ToolResult(content=content):
            return replace(block, content=clean_text(content))
        case Thinking(text, signature):
            unchanged = clean_text(text) == text and clean_text(signature) == signature
            return block if unchanged else Thinking(clean_text(text), "")


@dataclass(slots=True)
class _Pairing:
    """Pairs every tool use with one result. `asked` are the calls of the last message with their original ids."""

    asked: list[tuple[str, ToolUse]] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def ask(self, content: Sequence[Block]) -> list[Block]:
        """Return an assistant's blocks, with tool call ids that are valid identifiers and unique."""
        blocks: list[Block] = []
        self.asked = []
        for block in content:
            if isinstance(block, ToolUse):
                call = replace(block, id=self._fresh(block.id))
                self.asked.append((block.id, call))
                blocks.append(call)
            else:
                blocks.append(block)
        return blocks

    def answer(self, content: Sequence[Block]) -> list[Block]:
        """Return a user's blocks: one result for each call that was asked, in order, then the rest."""
        results = [block for block in content if isinstance(block, ToolResult)]
        answered: list[Block] = []
        for old_id, call in self.asked:
            found = next((result for result in results if result.tool_use_id == old_id), None)
            if found is not None:
                results.remove(found)
            answered.append(replace(found or ToolResult("", NO_RESULT, is_error=True), tool_use_id=call.id))
        self.asked = []
        return answered + [block for block in content if not isinstance(block, ToolResult)]

    def _fresh(self, call_id: str) -> str:
        fresh = call_id
        if not is_identifier(call_id) or call_id in self._taken:
            fresh = next(made for number in count(1) if (made := f"call_{number}") not in self._taken)
        self._taken.add(fresh)
        return fresh
