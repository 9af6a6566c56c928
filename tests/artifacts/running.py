"""Built functions that run in one sandbox. A function starts at its first invocation and stops with the sandbox."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.runtime.api import RuntimeApi
from infra.runtime.artifact import Artifact, running_artifact
from infra.runtime.build import build_functions
from infra.runtime.environment import read_overrides
from infra.runtime.functions import find_function
from infra.runtime.results import Invocation
from infra.runtime.sandbox import ENV_FILE, Sandbox, own_sandbox
from infra.runtime.template import read_template

EVENTS = ENV_FILE.parent


@dataclass
class Fleet:
    """The template's functions, built for this machine.

    `adapter` is the path of the real Lambda Web Adapter, or None for the fake adapter.
    """

    sandbox: Sandbox
    build: Path
    adapter: Path | None
    stack: contextlib.ExitStack
    _running: dict[str, RuntimeApi] = field(default_factory=dict)

    def invoke(self, name: str, event: bytes, timeout_seconds: float = 20) -> Invocation:
        """Invoke a function. `name` is its short name, such as `chat`."""
        if name not in self._running:
            function = find_function(self.sandbox.functions, name)
            environment = self.sandbox.environment(function, read_overrides(ENV_FILE))
            artifact = Artifact(function, self.build)
            context = running_artifact(artifact, environment, adapter=self.adapter)
            self._running[name] = self.stack.enter_context(context)
        return self._running[name].invoke(event, timeout_seconds)


@contextlib.contextmanager
def running_fleet(adapter: Path | None = None) -> Iterator[Fleet]:
    """Build outdated functions, start the sandbox, and yield the functions. Afterwards, stop all processes."""
    template = read_template()
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(own_sandbox(template))
        build = build_functions(template, sandbox.functions.values())
        yield Fleet(sandbox, build, adapter, stack)


def read_event(name: str) -> dict[str, Any]:
    """Read the event in tests/events with this name, such as `chat/answer`."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_bytes())
    return event


def list_events() -> list[str]:
    """Return the names of all events in tests/events, sorted."""
    return sorted(str(path.relative_to(EVENTS).with_suffix("")) for path in EVENTS.glob("*/*.json"))
