"""Every model is in the installed SDK and has a price. Costs are computed exactly."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest
from anthropic.types import Model
from atrium.kernel.errors import ValidationFailed
from atrium.llm.catalogue import (
    DEFAULT_MODEL,
    MODELS,
    PRICES,
    check_request,
    find_model,
    find_price,
    format_cost,
    price,
    to_nanos,
)
from atrium.llm.model import ModelMessage, ModelRequest, Text, Thinking, ToolResult, ToolSchema, ToolUse, Usage
from atrium.llm.tokens import bound_tokens
from openai.types import ChatModel

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_every_model_is_one_that_the_sdk_names_and_has_a_price() -> None:
    named = {name for part in get_args(Model) for name in get_args(part)}
    assert {model.id for model in MODELS.values() if model.vendor == "anthropic"} <= named
    assert {model.id for model in MODELS.values() if model.vendor == "openai"} <= set(get_args(ChatModel))
    assert {each.model for each in PRICES} == set(MODELS)
    assert {model.size for model in MODELS.values()} == {"small", "medium", "large"}
    assert DEFAULT_MODEL in MODELS
    assert find_model("claude-nothing") is None


@pytest.mark.parametrize(
    ("model", "usage", "nanos"),
    [
        ("claude-haiku-5-5", Usage(1_000_000, 0), 500_000_000),
        ("claude-haiku-5-5", Usage(100_000, 1_000_000), 10_000_000 + 500_000_000),
        ("claude-haiku-5-5", Usage(100_001, 1), 50_000_500 + 2_500),
        ("claude-haiku-5-5", Usage(1, 0, 60_000, 40_000), 500 + 60_000 * 50 + 40_000 * 625),
        ("claude-haiku-5-5", Usage(1, 1, 1, 1), 100 + 500 + 10 + 125),
        ("claude-sonnet-5-5", Usage(1, 1, 1, 1), 2_000 + 10_000 + 100 + 2_500),
        ("claude-opus-5-5", Usage(1, 1, 1, 1), 4_000 + 20_000 + 200 + 5_000),
        ("claude-opus-5-5", Usage(), 0),
        ("gpt-6-luna", Usage(1, 1, 1, 1), 100 + 500 + 10 + 125),
        ("gpt-6-sol", Usage(272_000, 1), 272_000 * 2_000 + 10_000),
        ("gpt-6-sol", Usage(272_000, 1, 1), 272_000 * 4_000 + 15_000 + 400),
        ("glm-5.3-flash", Usage(1, 1, 1), 150 + 500 + 30),
        ("glm-5.3", Usage(1, 1, 1), 1_400 + 4_400 + 260),
    ],
)
def test_computes_prices(model: str, usage: Usage, nanos: int) -> None:
    assert price(model, usage, NOW) == nanos


def test_uses_the_price_of_the_day() -> None:
    before, after = datetime(2026, 10, 6, 23, 59, 59, tzinfo=UTC), datetime(2026, 10, 7, tzinfo=UTC)
    reads = Usage(cache_read_tokens=1_000_000)

    assert price("claude-sonnet-5-5", reads, before) == 200_000_000
    assert price("claude-sonnet-5-5", reads, after) == 100_000_000
    assert find_price("claude-haiku-5-5", datetime(2020, 1, 1, tzinfo=UTC)).valid_from == after


def test_an_unknown_model_has_no_price() -> None:
    with pytest.raises(LookupError):
        price("claude-nothing", Usage(), NOW)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0.000000"), (499, "0.000000"), (500, "0.000001"), (1_234_500, "0.001235"), (10**21, "1000000000000.000000")],
)
def test_shows_costs_with_six_decimals(nanos: int, text: str) -> None:
    assert format_cost(nanos) == text


def test_converts_dollars_to_nano_dollars() -> None:
    assert to_nanos(Decimal("0.01")) == 10_000_000
    assert to_nanos(Decimal("0.0000000015")) == 2


def test_adds_usage() -> None:
    total = Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40)
    assert total == Usage(11, 22, 33, 44)
    assert total.prompt_tokens == 88


def test_the_bound_covers_every_byte_of_a_prompt() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "description": "ü" * 50}}}
    messages = (
        ModelMessage("user", (Text("ä" * 100),)),
        ModelMessage("assistant", (Thinking("t" * 10, "s" * 20), ToolUse("id", "name", {"x": "y" * 30}))),
        ModelMessage("user", (ToolResult("id", "r" * 40),)),
    )
    plain = ModelRequest("claude-haiku-5-5", "é" * 10, messages, 100)
    with_tools = ModelRequest("claude-haiku-5-5", "é" * 10, messages, 100, (ToolSchema("n", "d" * 60, schema),))

    assert bound_tokens(plain) >= 20 + 200 + 30 + 30 + 40
    assert bound_tokens(with_tools) >= bound_tokens(plain) + 60 + 100


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ModelRequest("claude-nothing", "", (), 1), "not in the catalogue"),
        (ModelRequest("claude-haiku-5-5", "", (), 1, temperature=0.0), "does not accept `temperature`"),
        (ModelRequest("claude-haiku-5-5", "", (), 0), "between 1 and 128000"),
        (ModelRequest("claude-haiku-5-5", "", (), 128_001), "between 1 and 128000"),
    ],
)
def test_rejects_requests_that_a_model_does_not_support(request_: ModelRequest, words: str) -> None:
    with pytest.raises(ValidationFailed, match=words):
        check_request(request_)
