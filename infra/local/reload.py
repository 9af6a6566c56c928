"""Watches the source code and restarts the functions that a change affects. A change of the template is only logged."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from watchfiles import DefaultFilter, awatch

from infra.local.lambdas.service import LambdaService
from infra.local.logs.stack_log import StackLog
from infra.local.paths import ROOT, TEMPLATE
from infra.local.stack.functions import StackFunction

COMPONENT = "reload"
_SOURCE = (ROOT / "functions", ROOT / "layers" / "core" / "atrium")
_SHOWN_MAX = 3
_GROUP_MILLISECONDS = 300


async def watch_source(service: LambdaService, log: StackLog) -> None:
    """Watch the source code until the task is cancelled.

    A request that is running during a change is completed with the old code.
    """
    async for changes in awatch(*_SOURCE, TEMPLATE, watch_filter=DefaultFilter(), debounce=_GROUP_MILLISECONDS):
        names = sorted({_name(path) for _, path in changes})
        if _name(TEMPLATE) in names:
            log.note(COMPONENT, "template.yaml changed; restart `make dev` to deploy it", level="WARNING")
        if changed := [name for name in names if name != _name(TEMPLATE)]:
            running = service.retire(find_affected(service.functions, changed))
            service.warm(running)
            more = f" and {len(changed) - _SHOWN_MAX} more" if len(changed) > _SHOWN_MAX else ""
            log.note(COMPONENT, f"{', '.join(changed[:_SHOWN_MAX])}{more} changed; restarted the functions that run it")


def find_affected(functions: Mapping[str, StackFunction], changed: Iterable[str]) -> list[str]:
    """Return the functions that a change affects.

    A file in a function's folder affects the functions of this folder. Any other file affects all functions.
    """
    folders = {"/".join(name.split("/")[:2]) for name in changed}
    own = {item.source_folder for item in functions.values()}
    return [name for name, item in functions.items() if item.source_folder in folders or not folders <= own]


def _name(path: str | Path) -> str:
    found = Path(path)
    return str(found.relative_to(ROOT)) if found.is_relative_to(ROOT) else found.name
