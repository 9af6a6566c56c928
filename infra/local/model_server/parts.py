"""The blocks of an answer, each knowing its size and its forms on the wire: whole, opening, and deltas."""

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Self

from pydantic import JsonValue

from infra.local.model_server.signature import sign
from infra.local.model_server.tokens import count_tokens, cut_to_tokens

PIECE_CHARACTERS = 12

type JsonObject = dict[str, JsonValue]


def split(text: str, pieces: int | None = None) -> list[str]:
    """Cut a text into `pieces` of nearly one length (fewer if it is shorter), or into pieces of 12 characters."""
    count = min(pieces, len(text)) if pieces else ceil(len(text) / PIECE_CHARACTERS)
    edges = [len(text) * index // count for index in range(count + 1)] if count else []
    return [text[start:end] for start, end in pairwise(edges)]


@dataclass(frozen=True)
class Prose:
    """Text of one kind or the other, which counts and is cut alike."""

    text: str

    @property
    def tokens(self) -> int:
        """Tokens that the block counts."""
        return count_tokens(self.text)

    def cut(self, tokens: int) -> Self:
        """The beginning of the block that fits in `tokens`."""
        return replace(self, text=cut_to_tokens(self.text, tokens))


@dataclass(frozen=True)
class TextPart(Prose):
    """A piece of the answer's text."""

    def whole(self) -> JsonObject:
        """The block as a JSON answer has it."""
        return {"type": "text", "text": self.text}

    def opening(self) -> JsonObject:
        """The block as `content_block_start` has it."""
        return {"type": "text", "text": ""}

    def deltas(self, pieces: int | None) -> list[JsonObject]:
        """What `content_block_delta` events carry, in order."""
        return [{"type": "text_delta", "text": piece} for piece in split(self.text, pieces)]


@dataclass(frozen=True)
class ThinkingPart(Prose):
    """Visible thinking; its signature comes last, just before the block ends."""

    def whole(self) -> JsonObject:
        """The block as a JSON answer has it."""
        return {"type": "thinking", "thinking": self.text, "signature": sign(self.text)}

    def opening(self) -> JsonObject:
        """The block as `content_block_start` has it."""
        return {"type": "thinking", "thinking": "", "signature": ""}

    def deltas(self, _pieces: int | None) -> list[JsonObject]:
        """What `content_block_delta` events carry, in order; only text is cut to order."""
        thinking: list[JsonObject] = [{"type": "thinking_delta", "thinking": piece} for piece in split(self.text)]
        return [*thinking, {"type": "signature_delta", "signature": sign(self.text)}]


@dataclass(frozen=True)
class ToolPart:
    """A call; `arguments` is JSON text, incomplete when `max_tokens` cut it."""

    id: str
    name: str
    arguments: str

    @property
    def tokens(self) -> int:
        """Tokens that the block counts."""
        return count_tokens(self.name + self.arguments)

    def cut(self, tokens: int) -> Self:
        """The beginning of the call that fits in `tokens`: its JSON is then broken off, as a model's would be."""
        kept = cut_to_tokens(self.name + self.arguments, tokens)
        return replace(self, arguments=kept[len(self.name) :])

    def whole(self) -> JsonObject:
        """The block as a JSON answer has it; a call that was cut has an empty input."""
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": self._input()}

    def opening(self) -> JsonObject:
        """The block as `content_block_start` has it."""
        return {"type": "tool_use", "id": self.id, "name": self.name, "input": {}}

    def deltas(self, _pieces: int | None) -> list[JsonObject]:
        """What `content_block_delta` events carry, in order; the first one is empty, as Anthropic's is."""
        return [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *split(self.arguments)]]

    def _input(self) -> JsonObject:
        try:
            value: JsonObject = json.loads(self.arguments)
        except ValueError:
            return {}
        return value


type Part = TextPart | ThinkingPart | ToolPart
