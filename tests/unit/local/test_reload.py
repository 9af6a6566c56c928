"""A changed file affects only the functions that use it."""

import pytest

from infra.local.reload import find_affected
from tests.unit.local.builders import stack_function

HANDLERS = {
    "chat": "functions/chat/run.sh",
    "sessions": "functions.sessions.app.handler",
    "sweep": "functions.events.sweep.handler",
    "usage_stream": "functions.events.usage_stream.handler",
}
FUNCTIONS = {name: stack_function(name, handler) for name, handler in HANDLERS.items()}


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        (["functions/chat/app.py"], ["chat"]),
        (["functions/events/sweep.py"], ["sweep", "usage_stream"]),
        (["functions/chat/app.py", "functions/sessions/models.py"], ["chat", "sessions"]),
        (["layers/core/atrium/kernel/ids.py"], list(HANDLERS)),
        (["functions/chat/app.py", "layers/core/atrium/settings.py"], list(HANDLERS)),
        # The file belongs to no function, so all functions are restarted.
        (["functions/shared.py"], list(HANDLERS)),
    ],
)
def test_affected(changed: list[str], affected: list[str]) -> None:
    assert find_affected(FUNCTIONS, changed) == affected
