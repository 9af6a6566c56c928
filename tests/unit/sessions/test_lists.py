"""Lists of sessions, and many callers at once."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import AgentId, RunId, SessionId, mint_run_id, mint_session_id
from atrium.kernel.pagination import PageRequest
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore

from tests.builders.house import OTHER_OWNER, OWNER, House
from tests.builders.runtimes import NOON

SECOND = timedelta(seconds=1)


@pytest.fixture
def sessions(house: House) -> SessionStore:
    return house.sessions()


def build_session(*, number: int = 0, **changes: Any) -> Session:
    at = NOON + number * SECOND
    fields: dict[str, Any] = {
        "id": mint_session_id(at),
        "owner": OWNER,
        "title": "A title",
        "agent_id": AgentId("agt_01k6r5m2x8f3v9q4w7t1y0z5ah"),
        "end_user": "ann",
        "metadata": {"deep": [1.5, None, {"ü": True}]},
        "message_count": 0,
        "turn_count": 0,
        "created_at": at,
        "updated_at": at,
        "last_active_at": at,
    }
    return Session(**{**fields, **changes})


@pytest.fixture
def session(sessions: SessionStore) -> Session:
    made = build_session()
    sessions.create(made)
    return made


def run_of(session: Session, seconds: int = 1) -> RunId:
    return mint_run_id(NOON + seconds * SECOND, session.id)


def ids(found: list[Session]) -> list[SessionId]:
    return [session.id for session in found]


def test_lists_are_by_last_activity_newest_first(sessions: SessionStore) -> None:
    mine = [build_session(number=number) for number in range(3)]
    theirs = build_session(number=9, owner=OTHER_OWNER)
    for each in [*mine, theirs]:
        sessions.create(each)
    assert ids(sessions.list_by_owner(OWNER, PageRequest()).items) == ids(mine[::-1])
    sessions.open_turn(mine[0].id, run_of(mine[0], 5), now=NOON + 5 * SECOND)
    sessions.change(mine[1].id, {"title": "x"}, now=NOON + 6 * SECOND)
    expected = [mine[0].id, mine[2].id, mine[1].id]
    assert ids(sessions.list_by_owner(OWNER, PageRequest()).items) == expected
    assert ids(sessions.list_all(PageRequest()).items) == [theirs.id, *expected]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_lists_in_pages(sessions: SessionStore, limit: int) -> None:
    made = [build_session(number=number) for number in range(3)]
    for each in made:
        sessions.create(each)
    found, page = [], sessions.list_all(PageRequest(limit))
    while True:
        found += ids(page.items)
        if page.position is None:
            break
        page = sessions.list_all(PageRequest(limit, page.position))
    assert found == ids(made[::-1])


def test_many_at_once_and_one_takes_it(sessions: SessionStore, session: Session) -> None:
    taken: list[RunId] = []

    def take(run_id: RunId) -> None:
        try:
            sessions.open_turn(session.id, run_id, now=NOON)
        except ConditionFailed:
            return
        taken.append(run_id)

    threads = [threading.Thread(target=take, args=(run_of(session, number),)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = sessions.get(session.id)
    assert head is not None
    assert head.turn is not None
    assert taken == [head.turn.run_id]
    assert head.turn_count == 1


def test_times_are_kept_to_the_millisecond(sessions: SessionStore) -> None:
    at = NOON.replace(microsecond=123_000)
    made = build_session(created_at=at, updated_at=at, last_active_at=at)
    sessions.create(made)
    found = sessions.get(made.id)
    assert found is not None
    assert format_time(found.created_at) == "2026-11-21T12:00:00.123Z"
