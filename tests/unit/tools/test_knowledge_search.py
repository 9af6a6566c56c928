"""`knowledge_search` over an implementation for tests, and deployments without an implementation."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from atrium.kernel.errors import NotFound
from atrium.tools.knowledge import KNOWLEDGE_SEARCH, PASSAGE_CHARACTERS_MAX, TOP_K_MAX
from atrium.tools.model import KnowledgeSearch, ToolContext, ToolRefusal, ToolRetry
from atrium.tools.output import RESULT_CHARACTERS_MAX, read_output
from atrium.tools.registry import ToolRegistry

from tests.builders.loops import tool_context
from tests.builders.runtimes import build_runtime
from tests.builders.tenant_env import TenantEnv, context_of


@dataclass(frozen=True)
class Found:
    """A passage."""

    document: str
    position: int
    text: str
    score: float


@dataclass
class Handbook:
    """A knowledge base with the namespace `handbook`. It returns all its passages."""

    passages: list[Found]
    asked: list[tuple[tuple[str, ...], str, int]] = field(default_factory=list)

    def search(self, namespaces: Sequence[str], query: str, top_k: int) -> Sequence[Found]:
        self.asked.append((tuple(namespaces), query, top_k))
        if set(namespaces) != {"handbook"}:
            raise NotFound("Namespace not found.")
        return self.passages


def context_with(tenant_env: TenantEnv, knowledge: KnowledgeSearch | None) -> ToolContext:
    services = replace(tenant_env.services(context_of()), knowledge=knowledge)
    return tool_context(tenant_env.clock, services=services)


def test_returns_the_best_passages(tenant_env: TenantEnv) -> None:
    book = Handbook([Found("doc_1", 4, "Holidays: 30 days.", 0.91234), Found("doc_2", 0, "Sick leave.", 0.5)])
    context = context_with(tenant_env, book)
    arguments = {"query": "holidays", "namespaces": ["handbook"]}
    first = "[document doc_1, position 4, score 0.912]\nHolidays: 30 days."
    assert (
        KNOWLEDGE_SEARCH.call(arguments, context)
        == f"{first}\n\n[document doc_2, position 0, score 0.500]\nSick leave."
    )
    assert KNOWLEDGE_SEARCH.call({**arguments, "top_k": 1}, context) == first
    assert book.asked == [(("handbook",), "holidays", 5), (("handbook",), "holidays", 1)]
    book.passages.clear()
    assert KNOWLEDGE_SEARCH.call(arguments, context) == "[No passage was found.]"


def test_the_result_is_bounded(tenant_env: TenantEnv) -> None:
    book = Handbook([Found("doc_1", at, "x" * 9_000, float("nan")) for at in range(99)])
    arguments = {"query": "x", "namespaces": ["handbook"], "top_k": TOP_K_MAX}
    found = str(read_output(KNOWLEDGE_SEARCH.call(arguments, context_with(tenant_env, book))))
    assert found.count("[document") == TOP_K_MAX
    assert TOP_K_MAX * PASSAGE_CHARACTERS_MAX < len(found) < RESULT_CHARACTERS_MAX


def test_the_model_is_told_of_an_unknown_namespace(tenant_env: TenantEnv) -> None:
    with pytest.raises(ToolRetry, match="Namespace not found"):
        KNOWLEDGE_SEARCH.call({"query": "x", "namespaces": ["theirs"]}, context_with(tenant_env, Handbook([])))


@pytest.mark.parametrize(
    "arguments",
    [
        {"namespaces": []},
        {"namespaces": ["a"] * 11},
        {"namespaces": [""]},
        {"top_k": 21},
        {"query": ""},
        {"tenant": "t"},
    ],
)
def test_arguments_are_validated(tenant_env: TenantEnv, arguments: dict[str, object]) -> None:
    book = Handbook([])
    answer = ToolRegistry([KNOWLEDGE_SEARCH]).call(
        "knowledge_search", {"query": "x", "namespaces": ["handbook"], **arguments}, context_with(tenant_env, book)
    )
    assert answer.is_error
    assert answer.text.startswith("The arguments are not valid: ")
    assert book.asked == []


def test_it_is_offered_only_with_an_implementation(tenant_env: TenantEnv) -> None:
    runtime = build_runtime()()
    assert KNOWLEDGE_SEARCH not in runtime.tools
    assert KNOWLEDGE_SEARCH in replace(runtime, knowledge=lambda _: Handbook([])).tools
    with pytest.raises(ToolRefusal, match="no knowledge base"):
        KNOWLEDGE_SEARCH.call({"query": "x", "namespaces": ["handbook"]}, context_with(tenant_env, None))
