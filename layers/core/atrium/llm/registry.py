"""Which provider serves a model in this deployment. A vendor's SDK is imported when its first model is asked for."""

import threading
from typing import TYPE_CHECKING

from atrium.kernel.errors import ProviderUnsupported
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider
from atrium.settings import Settings
from atrium.storage.secrets import Secrets

if TYPE_CHECKING:
    from atrium.llm.anthropic.channel import Channel

ANTHROPIC_URL = "https://api.anthropic.com"


class Providers:
    """The providers of a process, each made once."""

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        self._settings, self._secrets = settings, secrets
        self._lock = threading.Lock()
        self._made: dict[str, ModelProvider] = {}

    def find(self, model: ModelInfo) -> ModelProvider:
        """Return the provider of a model; `ProviderUnsupported` if this deployment has none.

        The first call imports the SDK, which takes a second or two: make it early, in a thread of its own.
        """
        if model.vendor != "anthropic":
            raise ProviderUnsupported(f"no provider of {model.vendor} is configured here")
        with self._lock:
            if model.vendor not in self._made:
                self._made[model.vendor] = self._make()
            return self._made[model.vendor]

    def _make(self) -> ModelProvider:
        from atrium.llm.anthropic.provider import AnthropicProvider

        return AnthropicProvider(self._channel())

    def _channel(self) -> "Channel":
        if self._settings.model_provider == "bedrock":
            from atrium.llm.anthropic.bedrock import bedrock_channel

            return bedrock_channel(self._settings.bedrock_geography)
        from atrium.llm.anthropic.direct import direct_channel

        return direct_channel(self._settings.anthropic_base_url or ANTHROPIC_URL, self._secrets.anthropic_api_key)
