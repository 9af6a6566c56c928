"""Which provider serves a model in this deployment. A vendor's SDK is imported when its first call is opened."""

import threading
from collections.abc import Callable

from atrium.kernel.errors import ProviderUnsupported
from atrium.llm.catalogue import ModelInfo
from atrium.llm.model import ModelProvider, ModelRequest, ModelStream
from atrium.settings import Settings
from atrium.storage.secrets import Secrets

ANTHROPIC_URL = "https://api.anthropic.com"


class LazyProvider:
    """A provider that is built with its first call, because importing its SDK takes a second or two."""

    def __init__(self, name: str, make: Callable[[], ModelProvider]) -> None:
        self._name, self._make = name, make
        self._lock = threading.Lock()
        self._made: ModelProvider | None = None

    @property
    def name(self) -> str:
        return self._name

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ModelStream:
        """See `ModelProvider.open`."""
        return self._provider().open(request, deadline_seconds=deadline_seconds)

    def count_tokens(self, request: ModelRequest) -> int:
        """See `ModelProvider.count_tokens`."""
        return self._provider().count_tokens(request)

    def _provider(self) -> ModelProvider:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


class Providers:
    """The providers of a process."""

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        self._settings, self._secrets = settings, secrets
        self._anthropic = LazyProvider(settings.model_provider, self._make_anthropic)

    def find(self, model: ModelInfo) -> ModelProvider:
        """Return the provider of a model; `ProviderUnsupported` if this deployment has none."""
        if model.vendor != "anthropic":
            raise ProviderUnsupported(f"no provider of {model.vendor} is configured here")
        return self._anthropic

    def _make_anthropic(self) -> ModelProvider:
        from atrium.llm.anthropic.provider import AnthropicProvider

        if self._settings.model_provider == "bedrock":
            from atrium.llm.anthropic.bedrock import bedrock_channel

            return AnthropicProvider(bedrock_channel(self._settings.bedrock_geography))
        from atrium.llm.anthropic.direct import direct_channel

        url = self._settings.anthropic_base_url or ANTHROPIC_URL
        return AnthropicProvider(direct_channel(url, self._secrets.anthropic_api_key))
