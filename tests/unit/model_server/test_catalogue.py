"""The model catalogue: it contains the models of the installed SDK and is listed in pages."""

from typing import get_args

import anthropic
import pytest
from anthropic.types.model import Model

from infra.local.model_server.protocol import MODELS

pytestmark = pytest.mark.loopback


def test_the_catalogue_is_the_sdks() -> None:
    named = {model for member in get_args(Model) for model in get_args(member)}
    assert set(MODELS) == named


def test_all_models_are_listed_page_by_page(client: anthropic.Anthropic) -> None:
    assert tuple(model.id for model in client.models.list(limit=5)) == MODELS


def test_a_page_before_a_model_ends_there(client: anthropic.Anthropic) -> None:
    page = client.models.list(limit=2, before_id=MODELS[3])
    assert tuple(model.id for model in page.data) == MODELS[1:3]
    assert page.has_more


@pytest.mark.parametrize(
    ("model_id", "name", "line"),
    [
        ("claude-haiku-5-5", "Claude Haiku 5.5", "haiku"),
        ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "sonnet"),
        ("claude-mythos-preview", "Claude Mythos Preview", "mythos"),
    ],
)
def test_a_model_is_described(client: anthropic.Anthropic, model_id: str, name: str, line: str) -> None:
    model = client.models.retrieve(model_id)
    assert (model.id, model.display_name, model.line, model.lifecycle) == (model_id, name, line, "active")
    assert (model.max_input_tokens, model.max_tokens) == (1_000_000, 128_000)


def test_an_unknown_model_is_not_found(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: claude-none"):
        client.models.retrieve("claude-none")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"after_id": "none"}])
def test_a_bad_page_is_refused(client: anthropic.Anthropic, query: dict[str, object]) -> None:
    with pytest.raises(anthropic.BadRequestError):
        client.models.list(extra_query=query)
