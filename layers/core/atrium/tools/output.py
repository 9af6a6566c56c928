"""Converts the return value of a tool to the content of a tool result, within limits of size."""

import json

from pydantic_core import to_jsonable_python

from atrium.llm.content import IMAGE_BYTES_MAX, OMITTED_BECAUSE, find_fault, size_of
from atrium.llm.model import Content, Image, ResultContent, Text
from atrium.llm.normalise import clean_text
from atrium.tools.model import ToolOutput

RESULT_CHARACTERS_MAX = 50_000
RESULT_BLOCKS_MAX = 100
_CUT = "\n[cut: the result was longer]"


def bound_text(text: str, characters_max: int = RESULT_CHARACTERS_MAX) -> str:
    """Return valid text with at most `characters_max` characters. A longer text is truncated and ends with a note."""
    text = clean_text(text)
    if len(text) <= characters_max:
        return text
    return (text[: max(0, characters_max - len(_CUT))] + _CUT)[:characters_max]


def read_output(output: ToolOutput) -> ResultContent:
    """Return the content of a tool result: text, compact JSON as text, or text and image blocks.

    A sequence is read as blocks if it contains only text and image blocks. Raises an exception for a value that is not
    JSON, which is a defect of the tool.
    """
    if isinstance(output, str):
        return bound_text(output)
    if isinstance(output, list | tuple) and output and all(isinstance(each, Text | Image) for each in output):
        return _bounded_blocks(tuple(each for each in output if isinstance(each, Text | Image)))
    value = to_jsonable_python(output, inf_nan_mode="null")
    return bound_text(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def _bounded_blocks(blocks: Content) -> Content:
    """Return blocks within the limits. An image that is invalid or too large becomes a text that says so."""
    bounded: list[Text | Image] = []
    characters_left, bytes_left = RESULT_CHARACTERS_MAX, IMAGE_BYTES_MAX
    for block in blocks[:RESULT_BLOCKS_MAX]:
        kept = block
        if isinstance(kept, Image):
            fault = find_fault(kept.media_type, kept.data)
            if fault is None and size_of(kept.data) > bytes_left:
                fault = f"and the images before it have more than {IMAGE_BYTES_MAX} bytes"
            kept = Text(OMITTED_BECAUSE.format(fault)) if fault else kept
        if isinstance(kept, Image):
            bytes_left -= size_of(kept.data)
        elif characters_left > 0:
            kept = Text(bound_text(kept.text, characters_left))
            characters_left -= len(kept.text)
        else:
            continue
        bounded.append(kept)
    return tuple(bounded)
