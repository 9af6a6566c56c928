"""Tool results with images: what the model, the events and the stored messages contain."""

import json
from dataclasses import replace

import pytest
from atrium.llm.content import IMAGE_BYTES_MAX
from atrium.llm.model import ModelMessage, Text, Thinking, ToolResult, ToolUse
from atrium.tools.calculator import CALCULATOR
from atrium.tools.model import ToolOutput
from atrium.tools.registry import MESSAGE_IMAGE_BYTES_MAX, ToolRegistry

from functions.chat.events import EVENT
from functions.sessions.models import render_message
from tests.builders.images import image, image_block, text_block
from tests.builders.scripted import calls
from tests.builders.tenant_env import TenantEnv, run_id_of, session_id_of, types_of

PLOT = (Text("A plot:"), image("image/webp"))
SHOWN = [text_block("A plot:"), image_block("image/webp")]


def answer_with(tenant_env: TenantEnv, output: ToolOutput) -> None:
    """Replace the calculator by a tool that returns this value, and let the model call the tool once."""
    tenant_env.tools = ToolRegistry([replace(CALCULATOR, run=lambda _arguments, _context: output)])
    tenant_env.model.say(Thinking("hm", "sig"), calls("calculator", expression="1"))


def test_the_model_the_events_and_the_session_receive_the_images(tenant_env: TenantEnv) -> None:
    answer_with(tenant_env, PLOT)
    events = tenant_env.talk((Text("Plot it."), image()))
    result = next(event for event in events if event.type == "tool_result")
    assert result.data == {"tool_call_id": "call_1", "tool": "calculator", "result": SHOWN, "is_error": False}
    assert tenant_env.model.requests[1].messages == (
        ModelMessage("user", (Text("Plot it."), image())),
        ModelMessage("assistant", (Thinking("hm", "sig"), ToolUse("call_1", "calculator", {"expression": "1"}))),
        ModelMessage("user", (ToolResult("call_1", PLOT),)),
    )
    run = tenant_env.run_of(events)
    asked, _, answered, _ = [render_message((run, message)).model_dump() for message in run.messages]
    assert asked["content"] == [text_block("Plot it."), image_block()]
    (block,) = answered["content"]
    assert (block["type"], block["result"]) == ("tool_result", SHOWN)
    tenant_env.talk("And now?", session_id=session_id_of(events))
    assert tenant_env.model.requests[2].messages[2].content == (ToolResult("call_1", PLOT),)


def test_a_client_that_reconnects_receives_the_same_events(tenant_env: TenantEnv) -> None:
    answer_with(tenant_env, PLOT)
    events = tenant_env.talk()
    assert tenant_env.replay(run_id_of(events)) == events
    for event in events:
        EVENT.validate_python({"id": event.sequence, "event": event.type, "data": dict(event.data)})


def test_bounds_the_images_of_all_results_of_one_answer(tenant_env: TenantEnv) -> None:
    """More images than fit into one page of messages would make the messages of the session unreadable."""
    large = image("image/jpeg", size=IMAGE_BYTES_MAX)
    fitting = MESSAGE_IMAGE_BYTES_MAX // IMAGE_BYTES_MAX
    tenant_env.tools = ToolRegistry([replace(CALCULATOR, run=lambda _arguments, _context: [Text("a"), large])])
    tenant_env.model.say(*(calls("calculator", f"call_{at}", expression="1") for at in range(fitting + 2)))
    tenant_env.talk()
    blocks = tenant_env.model.requests[1].messages[-1].content
    results = [block.content for block in blocks if isinstance(block, ToolResult)]
    assert len(results) == fitting + 2
    assert results.count((Text("a"), large)) == fitting
    omitted = Text("[image omitted: it and the images of other results have more than 3000000 bytes]")
    assert results.count((Text("a"), omitted)) == 2


@pytest.mark.parametrize(
    ("output", "result"),
    [
        ({"total": 42, "at": [1]}, '{"total":42,"at":[1]}'),
        ([image(size=IMAGE_BYTES_MAX + 3)], [text_block("[image omitted: it must have at most 750000 bytes]")]),
    ],
)
def test_json_is_sent_as_text_and_large_images_are_replaced(
    tenant_env: TenantEnv, output: ToolOutput, result: object
) -> None:
    answer_with(tenant_env, output)
    events = tenant_env.talk()
    assert types_of(events)[-1] == "final"
    assert next(event.data["result"] for event in events if event.type == "tool_result") == result
    assert len(json.dumps([dict(event.data) for event in events])) < 2_000
