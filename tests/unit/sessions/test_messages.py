"""Messages are read from runs: pages of any size contain each message once, oldest first."""

import random
from datetime import timedelta

import pytest
from atrium.kernel.errors import NotFound
from atrium.kernel.ids import MessageId, SessionId
from atrium.kernel.pagination import PageRequest
from atrium.runs.model import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders.records import build_message, build_outcome, build_run
from tests.builders.runtimes import NOON
from tests.builders.tenant_env import OTHER_OWNER, TenantEnv, context_of


def fill(tenant_env: TenantEnv, answers_of_turns: list[int | None]) -> tuple[SessionId, list[Message]]:
    """Create a session with one turn per entry of `answers_of_turns`. Return its id and messages.

    An entry is the number of assistant messages in the turn. None creates a running turn.
    """
    session_id = tenant_env.open_session()
    expected: list[Message] = []
    for number, answers in enumerate(answers_of_turns):
        run = build_run(session_id, at=NOON + timedelta(seconds=number))
        tenant_env.runs().open(run)
        expected.append(run.question)
        if answers is not None:
            outcome = build_outcome(messages=tuple(build_message("assistant", f"{n}") for n in range(answers)))
            tenant_env.runs().end(run.id, outcome, at=NOON)
            expected += outcome.messages
    return session_id, expected


@given(st.lists(st.integers(0, 7), max_size=5), st.booleans(), st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_any_page_size_yields_all_messages_once_in_order(
    tenant_env: TenantEnv, turns: list[int], last_runs: bool, limit: int
) -> None:
    session_id, expected = fill(tenant_env, [*turns, None] if last_runs else list(turns))
    assert tenant_env.messages_of(session_id, limit=limit) == expected


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.lists(st.integers(1, 5), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None)
def test_the_page_size_may_change_on_the_way(tenant_env: TenantEnv, turns: list[int], limits: list[int]) -> None:
    session_id, expected = fill(tenant_env, list(turns))
    found: list[MessageId] = []
    position = None
    while True:
        limit = limits[len(found) % len(limits)]
        page = tenant_env.session_service().list_messages(session_id, PageRequest(limit, position))
        found += [message.id for _, message in page.items]
        position = page.position
        if position is None:
            break
    assert found == [message.id for message in expected]


def test_each_message_names_its_run(tenant_env: TenantEnv) -> None:
    session_id, _ = fill(tenant_env, [2, 1])
    page = tenant_env.session_service().list_messages(session_id, PageRequest(100))
    runs = [run.id for run, _ in page.items]
    assert (runs[0], runs[3]) == (runs[2], runs[4])
    assert len(set(runs)) == 2


def test_new_messages_are_on_the_next_page(tenant_env: TenantEnv) -> None:
    session_id, before = fill(tenant_env, [1, None])
    page = tenant_env.session_service().list_messages(session_id, PageRequest(2))
    live = tenant_env.runs().list_by_session(session_id, PageRequest(1), newest_first=True).items[0]
    tenant_env.runs().end(live.id, build_outcome("late"), at=NOON)
    rest = tenant_env.session_service().list_messages(session_id, PageRequest(9, page.position))
    texts = [message.text for _, message in [*page.items, *rest.items]]
    assert texts == [*(message.text for message in before), "late"]


def test_long_turns_beyond_one_read_are_paged_too(tenant_env: TenantEnv) -> None:
    """DynamoDB ends a page at 1 MB, here after about thirty turns."""
    session_id = tenant_env.open_session()
    expected = 0
    for number in range(40):
        run = build_run(session_id, at=NOON + timedelta(seconds=number), metadata={"raw": _noise(number)})
        tenant_env.runs().open(run)
        expected += 1
    assert len(tenant_env.messages_of(session_id)) == expected


def test_bounds_the_size_of_a_page(tenant_env: TenantEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page with a hundred long answers must not exceed Lambda's response limit."""
    monkeypatch.setattr("atrium.sessions.service.PAGE_BYTES_MAX", 1_300)
    session_id = tenant_env.open_session()
    run = build_run(session_id, at=NOON)
    tenant_env.runs().open(run)
    answers = ["short", "a" * 700, "b" * 700, "c" * 5_000, "short"]
    tenant_env.runs().end(run.id, build_outcome(*answers), at=NOON)
    pages: list[list[str]] = []
    position = None
    while not pages or position is not None:
        page = tenant_env.session_service().list_messages(session_id, PageRequest(100, position))
        pages.append([message.text for _, message in page.items])
        position = page.position
    assert pages == [["Hi", "short", "a" * 700], ["b" * 700], ["c" * 5_000], ["short"]]


def _noise(seed: int) -> str:
    return random.Random(seed).randbytes(15_000).hex()


def test_messages_of_another_owners_session_are_not_found(tenant_env: TenantEnv) -> None:
    session_id, _ = fill(tenant_env, [1])
    with pytest.raises(NotFound):
        tenant_env.session_service(context_of(OTHER_OWNER)).list_messages(session_id, PageRequest())
