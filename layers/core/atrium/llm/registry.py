"""Finds the provider that serves a model in this deployment.

`FACTORIES` has one entry for each vendor. An entry imports its adapter when it is first used, because the import of an
SDK takes about one second of CPU time. The chat function imports the adapter of the default model during
initialization, when Lambda provides more CPU than during a call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from atrium.kernel.errors import ProviderUnsupported, Unavailable
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider
from atrium.settings import Settings
from atrium.storage.secrets import Secrets


@dataclass
class Providers:
    """The model providers of a process. `on_missing_key` is called for each model call that fails because the API key
    of the provider is missing.
    """

    settings: Settings
    secrets: Secrets
    on_missing_key: Callable[[], None] = lambda: None
    _made: dict[str, ModelProvider] = field(default_factory=dict, init=False)

    def find(self, model: ModelInfo) -> ModelProvider:
        """Return the provider of a model. Raise `ProviderUnsupported` if this deployment has no provider for it."""
        vendor = model.vendor
        if vendor not in FACTORIES:
            raise ProviderUnsupported(f"This deployment has no provider for models of {vendor}.")
        if vendor not in self._made:
            self._made.setdefault(vendor, FACTORIES[vendor](self, vendor))
        return self._made[vendor]

    def serves(self, model: ModelInfo) -> bool:
        """Return whether this deployment has a provider and an API key for a model, without the import of the adapter.

        Raises `Unavailable` if the keys cannot be read.
        """
        if model.vendor == "anthropic" and self.settings.model_provider == "bedrock":
            return bool(model.bedrock_id)
        return model.vendor in FACTORIES and self.secrets.has_model_api_key(model.vendor)

    def base_url(self, vendor: str) -> str:
        """Return the URL of another server with the vendor's interface, or "" for the vendor's own server."""
        return self.settings.model_base_urls.get(vendor, "")

    def api_key(self, vendor: str) -> str:
        """Return the platform's current API key for a vendor. Raise `Unavailable` if it is missing."""
        try:
            return self.secrets.model_api_key(vendor)
        except Unavailable:
            self.on_missing_key()
            raise


def _anthropic(providers: Providers, vendor: str) -> ModelProvider:
    from atrium.llm.anthropic.provider import AnthropicProvider, bedrock_channel, direct_channel

    if providers.settings.model_provider == "bedrock":
        return AnthropicProvider(bedrock_channel(providers.settings.bedrock_geography))
    return AnthropicProvider(direct_channel(providers.base_url(vendor), partial(providers.api_key, vendor)))


def _chat_completions(providers: Providers, vendor: str) -> ModelProvider:
    from atrium.llm.openai.provider import OpenAIProvider, direct_channel

    return OpenAIProvider(direct_channel(vendor, providers.base_url(vendor), partial(providers.api_key, vendor)))


FACTORIES: Mapping[str, Callable[[Providers, str], ModelProvider]] = {
    "anthropic": _anthropic,
    "openai": _chat_completions,
    "zhipu": _chat_completions,
}
