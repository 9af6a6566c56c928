"""Starts the scripted model server for the vendors whose models the developer has not configured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atrium.settings import MODEL_VENDORS

from infra.local.configuration import Configuration
from infra.local.helper_servers import start_server
from infra.local.processes import Child, Children

# The SDKs require an API key, even if the server does not check the key.
NO_KEY = "local"
ANTHROPIC_URL = "https://api.anthropic.com"
# OpenAI's SDK expects the version of the API in the base URL.
_PATHS = {"anthropic": "", "openai": "/v1", "zhipu": "/v1"}


@dataclass(frozen=True)
class Models:
    """The addresses and the API keys of the models, by vendor. An address is absent for the vendor's own API."""

    base_urls: Mapping[str, str]
    api_keys: Mapping[str, str]

    @property
    def url(self) -> str:
        """Return the URL to show to the developer, which is that of the default model."""
        return self.base_urls.get("anthropic", ANTHROPIC_URL)

    @property
    def parameters(self) -> dict[str, str]:
        """Return the template's parameters."""
        return {f"{vendor.title()}BaseUrl": self.base_urls.get(vendor, "") for vendor in MODEL_VENDORS}


async def start_models(configuration: Configuration, children: Children, on_end: Callable[[Child], None]) -> Models:
    """Return the configured models. For the other vendors, start the scripted model server and return its address."""
    base_urls = dict(configuration.model_base_urls)
    if configuration.scripted_vendors:
        server = await start_server("model", "infra.local.model_server", "/__stats", children, on_end)
        base_urls |= {vendor: server + _PATHS[vendor] for vendor in configuration.scripted_vendors}
    return Models(base_urls, dict.fromkeys(MODEL_VENDORS, NO_KEY) | dict(configuration.model_api_keys))
