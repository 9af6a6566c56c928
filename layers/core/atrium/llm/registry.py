"""Finds the provider that serves a model in this deployment.

Importing this module imports the vendors' SDKs, which takes about one second of CPU time. The chat function imports it
during initialization, when Lambda provides more CPU than during a call.
"""

from collections.abc import Callable
from functools import cached_property

from atrium.kernel.errors import ProviderUnsupported, Unavailable
from atrium.llm.anthropic.channel import bedrock_channel, direct_channel
from atrium.llm.anthropic.provider import AnthropicProvider
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider
from atrium.settings import Settings
from atrium.storage.secrets import Secrets

ANTHROPIC_URL = "https://api.anthropic.com"


class Providers:
    """The model providers of a process. `on_missing_key` is called for each model call that fails because the API key
    of the provider is missing.
    """

    def __init__(self, settings: Settings, secrets: Secrets, on_missing_key: Callable[[], None] = lambda: None) -> None:
        self._settings, self._secrets, self._on_missing_key = settings, secrets, on_missing_key

    def find(self, model: ModelInfo) -> ModelProvider:
        """Return the provider of a model. Raise `ProviderUnsupported` if this deployment has no provider for it."""
        match model.vendor:
            case "anthropic":
                return self._anthropic
            case vendor:
                raise ProviderUnsupported(f"This deployment has no provider for models of {vendor}.")

    @cached_property
    def _anthropic(self) -> ModelProvider:
        if self._settings.model_provider == "bedrock":
            return AnthropicProvider(bedrock_channel(self._settings.bedrock_geography))
        url = self._settings.anthropic_base_url or ANTHROPIC_URL
        return AnthropicProvider(direct_channel(url, self._model_key))

    def _model_key(self) -> str:
        try:
            return self._secrets.anthropic_api_key()
        except Unavailable:
            self._on_missing_key()
            raise
