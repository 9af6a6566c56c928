"""Renders the prompts of agents: at the start of a turn, and when an agent is saved."""

from threading import Lock

from cachetools import LRUCache

from atrium.kernel.errors import PromptUnusable
from atrium.kernel.ids import PromptId, TenantId
from atrium.prompts.model import PromptFault, PromptReference, PromptVersion, Values
from atrium.prompts.store import PromptStore
from atrium.storage.table import TenantTable

PROMPTS_CACHED_MAX = 500

type _Place = tuple[TenantId, int, PromptId, str, int | None]


class PromptCache:
    """Caches the prompts of turns by tenant, `config_version` and reference. A missing prompt is also cached."""

    def __init__(self) -> None:
        self._versions: LRUCache[_Place, PromptVersion | None] = LRUCache(PROMPTS_CACHED_MAX)
        self._lock = Lock()

    def render(self, table: TenantTable, config_version: int, reference: PromptReference, built_in: Values) -> str:
        """Return the text of an agent's prompt. Raise `PromptUnusable`. See `PromptStore.resolve` for the cost."""
        place = (table.tenant_id, config_version, reference.id, reference.name, reference.version)
        with self._lock:
            is_cached, found = place in self._versions, self._versions.get(place)
        if not is_cached:
            found = PromptStore(table).resolve(reference)
            with self._lock:
                self._versions[place] = found
        shown = reference.name or reference.id
        if found is None:
            missing = "does not exist" if reference.version is None else f"has no version {reference.version}"
            raise PromptUnusable(f"The agent's prompt `{shown}` {missing}.")
        try:
            return render_version(found, reference.variables, built_in)
        except PromptFault as fault:
            raise PromptUnusable(f"The agent's prompt `{shown}` cannot be rendered: {fault.message}.") from fault


def render_version(version: PromptVersion, values: Values, built_in: Values) -> str:
    """Return the text of a version. Raise `PromptFault` if a value or the template does not allow it."""
    from atrium.prompts.template import compile_template

    bound = version.bind(values)
    return compile_template(version.template, version.variables).render(bound, built_in)
