"""The cost of each model provider: the import of its adapter, and the time to the first event of an answer.

The answers come from the model server, which runs in a thread of this process, so the times contain its share.
"""

import statistics
import time
from contextlib import closing

from atrium.llm.catalogue import MODELS
from atrium.llm.model import ModelMessage, ModelProvider, ModelRequest, Text
from atrium.llm.registry import Providers
from atrium.settings import MODEL_VENDORS, Settings
from atrium.storage.secrets import Secrets

from infra.local.model_server import running
from tests.bench.authorizer import IMPORTS, seconds_of
from tests.bench.measuring import Figures, percentile
from tests.builders.api_env import model_environment

ADAPTERS = {"anthropic": "anthropic", "openai": "openai", "zhipu": "openai"}
CALLS = 50


def measure_providers() -> dict[str, Figures]:
    """Return the figures of each vendor. `import_ms` is the time to import the adapter in a new process."""
    bare = statistics.median(seconds_of("pass") for _ in range(IMPORTS))
    found: dict[str, Figures] = {}
    with running() as server:
        settings = Settings.read(model_environment(server))
        providers = Providers(settings, Secrets(settings))
        for vendor in MODEL_VENDORS:
            model = next(each for each in MODELS.values() if each.vendor == vendor)
            code = f"import atrium.llm.{ADAPTERS[vendor]}.provider"
            whole = statistics.median(seconds_of(code) for _ in range(IMPORTS))
            times = _first_events(providers.find(model), model.id)
            found[vendor] = {
                "import_ms": round((whole - bare) * 1000),
                "first_event_p50_ms": round(percentile(times, 0.5) * 1000, 1),
                "first_event_p99_ms": round(percentile(times, 0.99) * 1000, 1),
            }
    return found


def _first_events(provider: ModelProvider, model: str) -> list[float]:
    """Return the seconds from the start of a call to its first event. The first call is not measured."""
    request = ModelRequest(model, "Be brief.", (ModelMessage("user", (Text("Hello"),)),), 100)
    times = []
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        with closing(provider.open(request, deadline_seconds=10)) as stream:
            next(iter(stream))
            times.append(time.perf_counter() - began)
            list(stream)
    return times[1:]
