"""Texts are counted, cut and split between characters, never within a character. Blocks have the SDK's fields."""

from typing import get_args, get_type_hints

import pytest
from anthropic.types.content_block_param import ContentBlockParam
from anthropic.types.message_create_params import MessageCreateParamsBase
from pydantic import BaseModel

from infra.local.model_server import blocks
from infra.local.model_server.answer import split
from infra.local.model_server.protocol import count_tokens, cut_to_tokens, pad_to_tokens
from infra.local.model_server.request import SAMPLING, MessagesRequest
from tests.unit.model_server.builders import made_up_texts

TEXTS = made_up_texts(100)
SENT_AS_HEADERS = {"user_profile_id", "workspace_id"}


@pytest.mark.parametrize("pieces", [1, 2, 7, 50])
def test_pieces_join_to_the_text(pieces: int) -> None:
    for text in TEXTS:
        parts = split(text, pieces)
        assert "".join(parts) == text
        assert all(parts)
        assert len(parts) == min(pieces, len(text))


def test_pieces_have_twelve_characters_at_most() -> None:
    for text in TEXTS:
        parts = split(text)
        assert "".join(parts) == text
        assert all(1 <= len(part) <= 12 for part in parts)


@pytest.mark.parametrize("tokens", [0, 1, 2, 3, 10])
def test_a_cut_text_fits_and_is_a_beginning(tokens: int) -> None:
    for text in TEXTS:
        cut = cut_to_tokens(text, tokens)
        assert text.startswith(cut)
        assert count_tokens(cut) <= tokens
        assert cut == text or count_tokens(text[: len(cut) + 1]) > tokens


@pytest.mark.parametrize("tokens", [1, 2, 3, 10, 50])
def test_a_padded_text_has_exactly_its_tokens(tokens: int) -> None:
    assert {count_tokens(pad_to_tokens(text, tokens)) for text in TEXTS} == {tokens}


def test_a_token_is_four_bytes() -> None:
    assert [count_tokens(text) for text in ("", "a", "abcd", "abcde", "日本")] == [0, 1, 1, 2, 2]


def test_blocks_have_the_fields_of_the_sdk() -> None:
    ours: dict[str, type[BaseModel]] = {
        "text": blocks.Text,
        "image": blocks.Image,
        "tool_use": blocks.ToolUse,
        "tool_result": blocks.ToolResult,
    }
    ours["thinking"] = blocks.Thinking
    known = set(get_args(blocks.Other.model_fields["type"].annotation)) | set(ours)
    for block in get_args(ContentBlockParam):
        hints = get_type_hints(block)
        (kind,) = get_args(hints["type"]) or get_args(get_args(hints["type"])[0])
        assert kind in known
        if kind in ours:
            assert set(ours[kind].model_fields) == set(hints)


def test_a_request_has_the_fields_of_the_sdk() -> None:
    fields = set(MessageCreateParamsBase.__annotations__) - SENT_AS_HEADERS
    assert set(MessagesRequest.model_fields) - {"stream", *SAMPLING} == fields
