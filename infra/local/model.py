"""The model: the scripted server of `model_server`, or the one that the developer configured."""

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from infra.local import StartFailed
from infra.local.configuration import Configuration
from infra.local.paths import PYTHON, ROOT
from infra.local.ports import HOST, free_port
from infra.local.processes import Child, Children

START_SECONDS_MAX = 20.0
# The SDK requires a key even for a server that does not.
NO_KEY = "local"
ANTHROPIC_URL = "https://api.anthropic.com"
_POLL_SECONDS = 0.05


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
    port = free_port()
    child = await children.start(
        "model",
        [str(PYTHON), "-m", "infra.local.model_server", "--port", str(port)],
        folder=ROOT,
        environment={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PYTHONUNBUFFERED": "1"},
        on_end=on_end,
    )
    url = f"http://{HOST}:{port}"
    deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
    while not await asyncio.to_thread(_answers, f"{url}/__stats"):
        if not child.alive:
            raise StartFailed("the model server exited during startup; see .local/dev.log")
        if asyncio.get_running_loop().time() > deadline:
            raise StartFailed(f"the model server did not answer within {START_SECONDS_MAX:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)
    return Model(url, NO_KEY)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
