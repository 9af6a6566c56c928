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
from atrium.llm.streaming import StreamingProvider
from atrium.settings import Settings
from atrium.storage.secrets import Secrets

type ApiKey = Callable[[], str]


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
            self._made.setdefault(vendor, self._make(vendor))
        return self._made[vendor]

    def serves(self, model: ModelInfo) -> bool:
        """Return whether this deployment has a provider and an API key for a model, without the import of the adapter.

        Raises `Unavailable` if the keys cannot be read.
        """
        if self._uses_bedrock(model.vendor):
            return bool(model.bedrock_id)
        return model.vendor in FACTORIES and self.secrets.has_model_api_key(model.vendor)

    def with_key(self, vendor: str, api_key: ApiKey) -> StreamingProvider:
        """Return a new adapter that calls a vendor's API, also if the platform uses Bedrock, with another API key."""
        return FACTORIES[vendor](vendor, self.settings.model_base_urls.get(vendor, ""), api_key)

    def has_key(self, vendor: str) -> bool:
        """Return whether the platform can call a vendor's models. Raise `Unavailable` if the secret is unreadable."""
        return self._uses_bedrock(vendor) or self.secrets.has_model_api_key(vendor)

    def _make(self, vendor: str) -> ModelProvider:
        if self._uses_bedrock(vendor):
            from atrium.llm.anthropic.provider import AnthropicProvider, bedrock_channel

            return AnthropicProvider(bedrock_channel(self.settings.bedrock_geography))
        return self.with_key(vendor, partial(self.api_key, vendor))

    def _uses_bedrock(self, vendor: str) -> bool:
        return vendor == "anthropic" and self.settings.model_provider == "bedrock"

    def api_key(self, vendor: str) -> str:
        """Return the platform's current API key for a vendor. Raise `Unavailable` if it is missing."""
        try:
            return self.secrets.model_api_key(vendor)
        except Unavailable:
            self.on_missing_key()
            raise


def _anthropic(_vendor: str, base_url: str, api_key: ApiKey) -> StreamingProvider:
    from atrium.llm.anthropic.provider import AnthropicProvider, direct_channel

    return AnthropicProvider(direct_channel(base_url, api_key))


def _chat_completions(vendor: str, base_url: str, api_key: ApiKey) -> StreamingProvider:
    from atrium.llm.openai.provider import OpenAIProvider, direct_channel

    return OpenAIProvider(direct_channel(vendor, base_url, api_key))


FACTORIES: Mapping[str, Callable[[str, str, ApiKey], StreamingProvider]] = {
    "anthropic": _anthropic,
    "openai": _chat_completions,
    "zhipu": _chat_completions,
}
