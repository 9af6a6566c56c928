"""The model: the scripted server of `model_server`, or the one that the developer configured."""

from collections.abc import Callable
from dataclasses import dataclass

from infra.local.configuration import Configuration
from infra.local.helper_servers import start_server
from infra.local.processes import Child, Children

# The SDK requires a key even for a server that does not.
NO_KEY = "local"
ANTHROPIC_URL = "https://api.anthropic.com"


@dataclass(frozen=True)
class Model:
    """The model's address; `base_url` is empty for Anthropic's own."""

    base_url: str
    api_key: str

    @property
    def url(self) -> str:
        """The address to show."""
        return self.base_url or ANTHROPIC_URL


async def start_model(configuration: Configuration, children: Children, on_end: Callable[[Child], None]) -> Model:
    """Start the scripted server and wait until it answers, unless a model is configured."""
    if configuration.has_own_model:
        return Model(configuration.anthropic_base_url, configuration.anthropic_api_key or NO_KEY)
    return Model(await start_server("model", "infra.local.model_server", "/__stats", children, on_end), NO_KEY)
