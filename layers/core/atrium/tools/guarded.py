"""Tools under the tenant's policies: each call is asked for before, and in the audit after.

A denial is an answer to the model like any other, so that it can go on without the tool.
"""

import time
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from atrium.kernel.ids import session_of
from atrium.policy.guard import PolicyGuard
from atrium.tools.done import DONE
from atrium.tools.model import Tool, ToolContext
from atrium.tools.registry import BUILT_IN, ToolAnswer, ToolRegistry

AMOUNT = "amount"
_WITHHELD = "The result was withheld because it looks like a prompt injection ({})."


class GuardedTools(ToolRegistry):
    """A registry whose calls pass a guard. `done` ends a run and does nothing, so nobody is asked for it.

    An audit that cannot be written fails the call, as it does everywhere.
    """

    def __init__(self, guard: PolicyGuard, tools: Iterable[Tool[Any]] = BUILT_IN) -> None:
        super().__init__(tools)
        self._guard = guard

    def _of(self, tools: Iterable[Tool[Any]]) -> ToolRegistry:
        return GuardedTools(self._guard, tools)

    def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolAnswer:
        if name not in self.names or name == DONE.name:
            return super().call(name, arguments, context)
        session_id, amount = session_of(context.run_id), _amount(arguments)
        if not self._guard.check_permission(f"tool:{name}", amount=amount, session_id=session_id):
            return ToolAnswer(f"A policy of the organisation does not allow the tool {name} here.", is_error=True)
        began = time.monotonic()
        answer = super().call(name, arguments, context)
        self._guard.audit.record_tool_call(
            name,
            arguments,
            result_length=len(answer.content),
            is_error=answer.is_error,
            duration_ms=round((time.monotonic() - began) * 1000),
            session_id=session_id,
            end_user=context.end_user,
        )
        signals = self._guard.screen(answer.content, f"tool:{name}", session_id=session_id, end_user=context.end_user)
        return ToolAnswer(_WITHHELD.format(", ".join(signals)), is_error=True) if signals else answer


def _amount(arguments: Mapping[str, Any]) -> Decimal | None:
    """Return the amount that a call is about, as the model wrote it; None where it names none that is a number."""
    said = arguments.get(AMOUNT)
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return None
    try:
        amount = Decimal(str(said))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
