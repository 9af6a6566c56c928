"""Starts the scripted model server, unless the developer has configured another model."""

from collections.abc import Callable
from dataclasses import dataclass

from infra.local.configuration import Configuration
from infra.local.helper_servers import start_server
from infra.local.processes import Child, Children

# The SDK requires an API key, even if the server does not check the key.
NO_KEY = "local"
ANTHROPIC_URL = "https://api.anthropic.com"


@dataclass(frozen=True)
class Model:
    """The address and the API key of the model. `base_url` is empty for Anthropic's API."""

    base_url: str
    api_key: str

    @property
    def url(self) -> str:
        """Return the URL to show to the developer."""
        return self.base_url or ANTHROPIC_URL


async def start_model(configuration: Configuration, children: Children, on_end: Callable[[Child], None]) -> Model:
    """Return the configured model. If none is configured, start the scripted model server and return its address."""
    if configuration.has_own_model:
        return Model(configuration.anthropic_base_url, configuration.anthropic_api_key or NO_KEY)
    return Model(await start_server("model", "infra.local.model_server", "/__stats", children, on_end), NO_KEY)
