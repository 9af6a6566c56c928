"""The tool `knowledge_search`, which searches the tenant's knowledge base (`tools.model.KnowledgeSearch`)."""

from typing import Annotated

from pydantic import Field

from atrium.kernel.errors import AtriumError
from atrium.tools.declaration import tool
from atrium.tools.model import Passage, ToolContext, ToolRefusal, ToolRetry
from atrium.tools.output import bound_text

QUERY_MAX = 1_000
NAMESPACES_MAX = 10
TOP_K_MAX, TOP_K_DEFAULT = 20, 5
PASSAGE_CHARACTERS_MAX = 2_000
_NOTHING = "[No passage was found.]"


def _search(
    query: Annotated[str, Field(min_length=1, max_length=QUERY_MAX, description="What to search for.")],
    namespaces: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Field(min_length=1, max_length=NAMESPACES_MAX, description="The parts of the knowledge base to search."),
    ],
    context: ToolContext,
    top_k: Annotated[int, Field(ge=1, le=TOP_K_MAX, description="Maximum number of passages.")] = TOP_K_DEFAULT,
) -> str:
    knowledge = context.require_services().knowledge
    if knowledge is None:
        raise ToolRefusal("This deployment has no knowledge base.")
    try:
        found = knowledge.search(namespaces, query, top_k)
    except AtriumError as error:
        raise ToolRetry(error.detail) from error
    return "\n\n".join(map(_render, found[:top_k])) or _NOTHING


def _render(passage: Passage) -> str:
    place = f"[document {passage.document}, position {passage.position}, score {passage.score:.3f}]"
    return f"{place}\n{bound_text(passage.text, PASSAGE_CHARACTERS_MAX)}"


KNOWLEDGE_SEARCH = tool(
    "Search the knowledge base. Returns passages of documents, the best match first.",
    name="knowledge_search",
    category="knowledge",
    effect="pure",
)(_search)
