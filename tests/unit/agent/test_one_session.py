"""Two turns of one session at the same time, with random delays before each call to the table."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from threading import Event

import pytest
from atrium.agent.model import OnBusy
from atrium.kernel.errors import SessionBusy
from atrium.kernel.ids import SessionId
from atrium.kernel.pagination import PageRequest
from atrium.runs.model import Message, Run

from tests.builders.tenant_env import ADMIN, TenantEnv, head_of, run_id_of, types_of
from tests.builders.wires import Send

ROUNDS_ON_MOTO, ROUNDS = 10, 100


def list_groups(tenant_env: TenantEnv, session_id: SessionId) -> list[tuple[Run, list[Message]]]:
    """Return all messages of a session, grouped by adjacent messages of the same run."""
    pairs, position = [], None
    while True:
        page = tenant_env.session_service(ADMIN).list_messages(session_id, PageRequest(100, position))
        pairs += page.items
        position = page.position
        if position is None:
            break
    groups = groupby(pairs, key=lambda pair: pair[0].id)
    return [(found[0][0], [message for _, message in found]) for found in (list(group) for _, group in groups)]


def delay_calls(chance: random.Random) -> Callable[[str, object, Send], object]:
    def delay(_operation: str, _arguments: object, send: Send) -> object:
        time.sleep(chance.random() * 0.004)
        return send()

    return delay


def check_messages(groups: list[tuple[Run, list[Message]]], answered: dict[str, str | None]) -> None:
    """Assert that no message is lost and that the messages of each run are adjacent and in order."""
    assert len(groups) == len({run.id for run, _ in groups}), "the messages of each run are adjacent"
    assert {messages[0].text for _, messages in groups} == set(answered), "no message is lost"
    assert all(answered[messages[0].text] in {run.id, None} for run, messages in groups)
    order = [int(messages[0].text.split()[0]) for _, messages in groups[1:]]
    assert order == sorted(order), "the rounds are in order"
    for run, messages in groups:
        roles = [message.role for message in messages]
        assert roles == ["user", "assistant"] or (run.status == "cancelled" and roles == ["user"])


@pytest.mark.parametrize("on_busy", ["reject", "queue", "interrupt"])
def test_messages_of_two_turns_never_interleave(
    request: pytest.FixtureRequest, tenant_env: TenantEnv, session_id: SessionId, on_busy: OnBusy
) -> None:
    rounds = ROUNDS_ON_MOTO if request.config.getoption("--dynamodb") == "moto" else ROUNDS
    chance = random.Random(on_busy)
    tenant_env.configure(plan="enterprise")  # its sessions have no maximum length
    # Without this pause the simulated time would pass so fast that the lease of the other turn expires.
    tenant_env.while_waiting = lambda: time.sleep(0.02)
    met = Event()
    if on_busy == "reject":  # the first answer ends after the other turn was rejected
        tenant_env.model.say("Hel", lambda: met.wait(60), "lo.")
    for _ in range(2 * rounds):
        tenant_env.model.say("Hel", lambda: time.sleep(chance.random() * 0.06), "lo.")
    ended: dict[str, str] = {}

    def talk(message: str) -> str | None:
        time.sleep(chance.random() * 0.02)
        try:
            events = list(tenant_env.begin(message, session_id=session_id, on_busy=on_busy).events())
        except SessionBusy:
            met.set()
            return None
        ended[message] = types_of(events)[-1]
        return run_id_of(events)

    answered: dict[str, str | None] = {"first": None}
    with tenant_env.intercepted(delay_calls(chance)):
        for number in range(rounds):
            sent = [f"{number} a", f"{number} b"]
            with ThreadPoolExecutor(2) as threads:
                runs = list(threads.map(talk, sent))
            started = {message: run_id for message, run_id in zip(sent, runs, strict=True) if run_id}
            assert len(started) in ({1, 2} if on_busy == "reject" else {2}), "one of two turns always starts"
            answered |= started
            assert head_of(tenant_env, session_id).turn is None, "the session is free"
    assert tenant_env.defects == []
    assert set(ended.values()) == {"final"}
    check_messages(list_groups(tenant_env, session_id), answered)
    assert head_of(tenant_env, session_id).turn_count == len(answered)
    assert on_busy != "reject" or len(answered) < 1 + 2 * rounds, "the turns of some rounds met"
