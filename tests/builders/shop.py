"""An agent with tools of each effect class, whose turns are killed, and the checks of the runs that are left."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.llm.model import ModelRequest, ToolResult, ToolUse
from atrium.quotas.model import SLOT_LEASE_SECONDS
from atrium.runs.items import unpack
from atrium.runs.model import Run, RunEvent, answer_text
from atrium.sessions.finalizing import OPENING_GRACE_SECONDS
from atrium.storage import keys
from atrium.storage.writes import EXISTS, Update
from atrium.tools.model import EffectClass, Tool, ToolContext
from atrium.tools.registry import ToolRegistry

from tests.builders.loops import NoArguments
from tests.builders.scripted import Reply, ScriptedModel, ScriptedStream, calls, reply
from tests.builders.tenant_env import TenantEnv
from tests.builders.wires import Killed, Send

EXPIRED = OPENING_GRACE_SECONDS + SLOT_LEASE_SECONDS + 5
"""Longer than the leases of the run and its slots, and than the grace of a slot without a run."""

EFFECTS: dict[str, EffectClass] = {"charge": "effectful", "mail": "effectful", "upsert": "idempotent", "look": "pure"}


@dataclass
class Rounds(ScriptedModel):
    """A model whose reply depends on the number of tool rounds in the request, so it may be asked again."""

    rounds: list[Reply] = field(default_factory=list)

    def open(self, request: ModelRequest, *, deadline_seconds: float) -> ScriptedStream:
        done = sum(any(isinstance(block, ToolResult) for block in each.content) for each in request.messages)
        self.replies = [self.rounds[done]] if done < len(self.rounds) else []
        return super().open(request, deadline_seconds=deadline_seconds)


@dataclass
class Shop:
    """An agent with tools of each effect class. `effects` has the idempotency keys with which each tool was called.

    `act` is called with the name of a tool and the idempotency key, instead of `note`.
    """

    env: TenantEnv
    effects: dict[str, list[str]] = field(default_factory=dict)
    act: Callable[[str, str], object] | None = None

    def __post_init__(self) -> None:
        self.env.tools = ToolRegistry(self._tool(name, effect) for name, effect in EFFECTS.items())
        self.env.model = self.model
        self.set_agent(tools=list(EFFECTS))

    @cached_property
    def model(self) -> Rounds:
        return Rounds(
            rounds=[
                reply("First. ", calls("charge", "c1"), calls("look", "c2"), calls("upsert", "c3")),
                reply("Then. ", calls("mail", "c4")),
                reply("Done."),
            ]
        )

    def set_agent(self, **attributes: Any) -> None:
        """Set attributes of the default agent's item, such as the names of tools that only tests have."""
        agent = self.env.agents().list(PageRequest(1)).items[0].agent
        sets = ", ".join(f"#{name} = :{name}" for name in attributes)
        self.env.table().write(Update(keys.agent(agent.id), f"SET {sets}", EXISTS, attributes))

    def note(self, name: str, key: str) -> None:
        self.effects.setdefault(name, []).append(key)

    def _tool(self, name: str, effect: EffectClass) -> Tool[NoArguments]:
        def run(_arguments: NoArguments, context: ToolContext) -> str:
            (self.act or self.note)(name, context.idempotency_key)
            return f"{name} done"

        return Tool(name, "For tests.", "tests", NoArguments, run, effect=effect)

    def talk(self, session_id: SessionId, seen: list[RunEvent]) -> None:
        self.effects.clear()
        self.env.clock.advance(1)
        for event in self.env.begin("Do it.", session_id=session_id).events():
            seen.append(event)


@dataclass
class KillAt:
    """An interceptor that simulates a process that is killed before the first call whose arguments contain a text."""

    text: str
    died: bool = False

    def __call__(self, _operation: str, arguments: dict[str, Any], send: Send) -> Any:
        self.died |= self.text in str(arguments) or any(self.text in str(unpacked) for unpacked in _unpacked(arguments))
        if self.died:
            raise Killed
        return send()


def _unpacked(arguments: Mapping[str, Any]) -> Iterator[object]:
    """Yield the contents of the payloads of an item."""
    for value in arguments.get("Item", {}).values():
        if "B" in value:
            yield unpack(value["B"])


def check(shop: Shop, session_id: SessionId) -> Run | None:
    """Assert that the session's last run is complete and consistent. Return it, or None if there is no run."""
    env = shop.env
    runs = env.run_service().list(PageRequest(5), session_id=session_id, status=None).items
    assert not any(run.is_open for run in runs)
    for name in ("charge", "mail"):
        assert len(shop.effects.get(name, [])) <= 1, "an effect happened twice"
    for name, keys_used in shop.effects.items():
        assert len(set(keys_used)) == 1, f"{name} was repeated with another key"
    for run in runs:
        entry = env.entry_of(run.id)
        assert (entry.tokens, entry.cost_nanos) == (run.spend.tokens, run.spend.cost_nanos)
        asked = [block.id for each in run.messages for block in each.content if isinstance(block, ToolUse)]
        answered = [
            block.tool_use_id for each in run.messages for block in each.content if isinstance(block, ToolResult)
        ]
        assert asked == answered
        replayed = env.replay(run.id)
        numbers = [event.sequence for event in replayed]
        assert numbers == sorted(set(numbers))
        shown = Counter((event.type, event.data.get("tool_call_id")) for event in replayed)
        assert all(shown["tool_call", call] == shown["tool_result", call] == 1 for call in asked)
        assert replayed[-1].data.get("content", answer_text(run.messages)) == answer_text(run.messages)
    ledger = [str(item["sk"]["S"]) for item in env.items("LEDGER#")]
    assert len(ledger) == len(set(ledger))
    assert env.talk("again", session_id=session_id)[-1].type == "final"
    assert env.quotas().store.list()[""].slots == {}
    return runs[0] if runs else None
