"""What a tool may return: text, JSON, pydantic models and images, within limits of size."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from atrium.llm.content import IMAGE_BYTES_MAX
from atrium.llm.model import Image, Text, Thinking
from atrium.tools.model import Tool, ToolOutput
from atrium.tools.output import RESULT_BLOCKS_MAX, RESULT_CHARACTERS_MAX
from atrium.tools.registry import ToolAnswer, ToolRegistry
from pydantic import BaseModel

from tests.builders.images import PNG, image, image_block
from tests.builders.loops import NoArguments, tool_context


class Weather(BaseModel):
    """A value that a tool returns."""

    place: str
    day: date
    degrees: float


BERLIN = Weather(place="Köln", day=date(2026, 11, 29), degrees=3.5)


def answer_of(output: ToolOutput) -> ToolAnswer:
    probe = Tool("probe", "For tests.", "tests", NoArguments, lambda _arguments, _context: output)
    return ToolRegistry([probe]).call("probe", {}, tool_context())


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ("plain", "plain"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (2.5, "2.5"),
        (float("nan"), "null"),
        ({"b": [1, {"é": None}], "a": "x"}, '{"b":[1,{"é":null}],"a":"x"}'),
        ([], "[]"),
        (("a", 1), '["a",1]'),
        (BERLIN, '{"place":"Köln","day":"2026-11-29","degrees":3.5}'),
        ([BERLIN], '[{"place":"Köln","day":"2026-11-29","degrees":3.5}]'),
        ({"at": datetime(2026, 11, 29, tzinfo=UTC)}, '{"at":"2026-11-29T00:00:00Z"}'),
        ([Decimal("1.50")], '["1.50"]'),
        ({"half": "a\ud83d"}, '{"half":"a\ufffd"}'),
    ],
)  # fmt: skip
def test_sends_text_and_json_as_compact_text(output: ToolOutput, content: str) -> None:
    assert answer_of(output) == ToolAnswer(content, is_error=False)


def test_sends_text_and_image_blocks() -> None:
    answer = answer_of([Text("A plot:"), image()])
    assert (answer.result, answer.is_error) == ((Text("A plot:"), image()), False)
    assert answer.content == [{"type": "text", "text": "A plot:"}, image_block()]
    assert answer.text == "A plot:"


@pytest.mark.parametrize("output", [{"a": object()}, [Text("a"), {"b": 1}, object()], [Thinking("a", "s"), lambda: 1]])
def test_another_value_is_a_defect_of_the_tool(output: Mapping[str, object] | Sequence[object]) -> None:
    answer = answer_of(output)
    assert (answer.content, answer.is_error) == ("The tool failed.", True)
    assert answer.defect is not None


@pytest.mark.parametrize("output", [{"a": "x" * 200_000}, list(range(100_000))])
def test_truncates_long_json(output: ToolOutput) -> None:
    answer = answer_of(output)
    assert len(answer.text) == RESULT_CHARACTERS_MAX
    assert answer.text.endswith("[cut: the result was longer]")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Image("image/gif", PNG), "must be an image of the type image/gif, but its bytes are image/png"),
        (Image("image/bmp", PNG), "must have one of the media types"),
        (Image("image/png", "?"), "must be base64"),
        (image(size=IMAGE_BYTES_MAX + 3), "must have at most 750000 bytes"),
    ],
)
def test_an_image_that_is_broken_or_too_large_becomes_text(broken: Image, said: str) -> None:
    result = answer_of([Text("a"), broken, image()]).result
    assert isinstance(result, tuple)
    first, second, third = result
    assert (first, third) == (Text("a"), image())
    assert isinstance(second, Text)
    assert second.text.startswith(f"[image omitted: it {said}")


def test_bounds_all_images_and_all_text_of_a_result_together() -> None:
    large = image("image/jpeg", size=IMAGE_BYTES_MAX // 2)
    blocks = answer_of([large, large, image(), Text("x" * 40_000), Text("y" * 40_000), Text("z")]).result
    assert blocks[:2] == (large, large)
    assert all(isinstance(block, Text) for block in blocks[2:])
    assert sum(len(block.text) for block in blocks if isinstance(block, Text)) <= RESULT_CHARACTERS_MAX
    for length in range(RESULT_CHARACTERS_MAX - 40, RESULT_CHARACTERS_MAX + 1):
        bounded = answer_of([Text("x" * length), Text("y" * 60), Text("z"), image()])
        assert len(bounded.text.replace("\n", "")) <= RESULT_CHARACTERS_MAX
        assert bounded.result[-1] == image(), "text that is too long does not remove images"
    assert len(answer_of([Text("")] * (RESULT_BLOCKS_MAX + 1)).result) == RESULT_BLOCKS_MAX
