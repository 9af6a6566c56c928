"""Claude by Anthropic's own API, or by any server that speaks it."""

import threading
from collections.abc import Callable

from anthropic import Anthropic

from atrium.llm.anthropic.channel import Channel, make_http_client


class DirectClient:
    """The client for the key of the moment: a key that was rotated makes another client."""

    def __init__(self, base_url: str, api_key: Callable[[], str]) -> None:
        self._base_url, self._api_key = base_url, api_key
        self._lock = threading.Lock()
        self._http = make_http_client()
        self._client: Anthropic | None = None

    def __call__(self) -> Anthropic:
        key = self._api_key()
        with self._lock:
            if self._client is None or self._client.api_key != key:
                self._client = Anthropic(
                    api_key=key,
                    base_url=self._base_url,
                    max_retries=0,
                    http_client=self._http,
                    open_telemetry=False,
                    # The SDK sends the key as a bearer token; servers that imitate the API may know only this one.
                    default_headers={"x-api-key": key},
                )
            return self._client


def direct_channel(base_url: str, api_key: Callable[[], str]) -> Channel:
    """Return the channel to a base URL; `api_key` is asked for each call."""
    return Channel("anthropic", DirectClient(base_url, api_key), lambda model: model.id)
