"""Starts the model server, the search server and the OAuth provider as child processes."""

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import Callable

from infra.local import StartFailed
from infra.local.configuration import REAL_PROVIDERS, Configuration
from infra.local.paths import PYTHON, ROOT
from infra.local.ports import HOST, free_port
from infra.local.processes import Child, Children

START_SECONDS_MAX = 20.0
_POLL_SECONDS = 0.05


async def start_server(name: str, module: str, probe: str, children: Children, on_end: Callable[[Child], None]) -> str:
    """Run a server module that has an option `--port`, and return the server's URL when the path `probe` responds.

    Raises StartFailed if the server ends or does not respond in time.
    """
    port = free_port()
    child = await children.start(
        name,
        [str(PYTHON), "-m", module, "--port", str(port)],
        folder=ROOT,
        environment={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PYTHONUNBUFFERED": "1"},
        on_end=on_end,
    )
    url = f"http://{HOST}:{port}"
    deadline = asyncio.get_running_loop().time() + START_SECONDS_MAX
    while not await asyncio.to_thread(_answers, f"{url}{probe}"):
        if not child.alive:
            raise StartFailed(f"the {name} server exited during startup; see .local/dev.log")
        if asyncio.get_running_loop().time() > deadline:
            raise StartFailed(f"the {name} server did not answer within {START_SECONDS_MAX:.0f} s")
        await asyncio.sleep(_POLL_SECONDS)
    return url


async def start_oauth_provider(
    configuration: Configuration, children: Children, on_end: Callable[[Child], None]
) -> str:
    """Return the URL of the OAuth provider, or an empty string if the real providers are configured.

    If no URL is configured, start the local provider, which emulates Google, GitHub and Slack.
    """
    if configuration.oauth_provider_url == REAL_PROVIDERS:
        return ""
    if configuration.oauth_provider_url:
        return configuration.oauth_provider_url
    return await start_server("providers", "infra.local.oauth_provider", "/slack/openid/connect/keys", children, on_end)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
