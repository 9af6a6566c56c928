"""`python -m tests.bench.cold_start [runs]` measures the time to first byte of a new chat process.

The script starts the built chat function `runs` times, in the same way as Lambda, and sends two streamed turns to each
process. It prints the median and the minimum of each time in ms.

Init ends when the readiness path responds. A call begins when its event is passed to the function. The first byte is
the first byte of the `start` event. The first text is the first text from the model.
"""

import statistics
import sys
import time
from collections.abc import Sequence

from infra.runtime.artifact import Artifact, running_artifact
from infra.runtime.build import build_functions
from infra.runtime.environment import read_overrides
from infra.runtime.functions import find_function
from infra.runtime.results import Invocation
from infra.runtime.sandbox import ENV_FILE, own_sandbox
from infra.runtime.template import read_template
from tests.artifacts.running import EVENTS

RUNS = 7
CALL_SECONDS = 30
FIGURES = (
    "init",
    "first call, first byte",
    "first call, first text",
    "second call, first byte",
    "second call, first text",
)


def main(arguments: Sequence[str]) -> None:
    runs = int(arguments[0]) if arguments else RUNS
    template = read_template()
    event = (EVENTS / "chat" / "stream.json").read_bytes()
    rows: list[tuple[float, ...]] = []
    with own_sandbox(template) as sandbox:
        function = find_function(sandbox.functions, "chat")
        artifact = Artifact(function, build_functions(template, [function]))
        environment = sandbox.environment(function, read_overrides(ENV_FILE))
        for _ in range(runs):
            started = time.perf_counter()
            with running_artifact(artifact, environment) as api:
                first = api.invoke(event, CALL_SECONDS)
                init = time.perf_counter() - started - first.seconds
                rows.append((init, *read_times(first), *read_times(api.invoke(event, CALL_SECONDS))))
    for name, values in zip(FIGURES, zip(*rows, strict=True), strict=True):
        print(f"{name:26} {statistics.median(values) * 1000:6.0f} {min(values) * 1000:6.0f}")


def read_times(result: Invocation) -> tuple[float, float]:
    """Return the seconds from the start of the call to the first byte, and to the first text."""
    if result.error is not None or result.prelude is None or result.prelude.status != 200:
        raise SystemExit(f"the call failed: {result.status} {result.error} {result.payload[:200]!r}")
    text = next(chunk.seconds for chunk in result.chunks if b"event: text" in chunk.data)
    return result.chunks[0].seconds, text


if __name__ == "__main__":
    main(sys.argv[1:])
