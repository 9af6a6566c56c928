"""Lists of sessions, also while concurrent turns change the sessions."""

import itertools
import random
import threading
from datetime import timedelta

import pytest
from atrium.kernel.clock import format_time
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import RunId, SessionId, mint_run_id
from atrium.kernel.pagination import PageRequest
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore

from tests.builders.runtimes import NOON
from tests.builders.sessions import build_session, run_of
from tests.builders.tenant_env import ADMIN, OTHER_OWNER, OWNER, TenantEnv
from tests.builders.wires import Recorder

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def ids(found: list[Session]) -> list[SessionId]:
    return [session.id for session in found]


def test_lists_by_last_activity_newest_first(sessions: SessionStore) -> None:
    mine = [build_session(number=number) for number in range(3)]
    theirs = build_session(number=9, owner=OTHER_OWNER)
    for each in [*mine, theirs]:
        sessions.create(each)
    assert ids(sessions.list_by_owner(OWNER, PageRequest()).items) == ids(mine[::-1])
    head = sessions.open_turn(sessions.get(mine[0].id) or mine[0], run_of(mine[0], 5), now=NOON + 5 * SECOND)
    sessions.change(mine[1].id, {"title": "x"}, now=NOON + 6 * SECOND)
    assert ids(sessions.list_by_owner(OWNER, PageRequest()).items) == ids(mine[::-1]), "within five minutes"
    sessions.drop_turn(mine[0].id, head.turn.run_id if head.turn else RunId(""))
    sessions.open_turn(mine[0], run_of(mine[0], 300), now=NOON + 5 * MINUTE)
    expected = [mine[0].id, mine[2].id, mine[1].id]
    assert ids(sessions.list_by_owner(OWNER, PageRequest()).items) == expected
    assert ids(sessions.list_all(PageRequest()).items) == [mine[0].id, theirs.id, *expected[1:]]


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


def test_one_of_many_concurrent_turns_takes_the_session(sessions: SessionStore, session: Session) -> None:
    taken: list[RunId] = []

    def take(run_id: RunId) -> None:
        try:
            sessions.open_turn(session, run_id, now=NOON)
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


def test_updates_the_list_position_every_five_minutes(sessions: SessionStore, tenant_env: TenantEnv) -> None:
    one, other = build_session(number=0), build_session(number=1)
    for each in (one, other):
        sessions.create(each)
    moments = [NOON + minutes * MINUTE for minutes in (1, 4, 5, 9, 10, 30)]
    moves = []
    for at in moments:
        read = sessions.get(one.id)
        assert read is not None
        head = sessions.open_turn(read, mint_run_id(at, one.id), now=at)
        assert head.last_active_at == at
        assert head.listed_at is not None
        assert at - 5 * MINUTE < head.listed_at <= at
        if head.listed_at == at:
            moves.append(at)
        sessions.drop_turn(one.id, head.turn.run_id if head.turn else RunId(""))
    assert moves == [NOON + minutes * MINUTE for minutes in (5, 10, 30)]


def test_lists_are_in_order_to_within_five_minutes(sessions: SessionStore) -> None:
    chance = random.Random(5)
    made = [build_session(number=number) for number in range(4)]
    for each in made:
        sessions.create(each)
    at = NOON
    for _ in range(40):
        at += chance.randrange(10, 150) * SECOND
        read = sessions.get(chance.choice(made).id)
        assert read is not None
        head = sessions.open_turn(read, mint_run_id(at, read.id), now=at)
        assert head.turn is not None
        sessions.drop_turn(read.id, head.turn.run_id)
        listed = [session.last_active_at for session in sessions.list_by_owner(OWNER, PageRequest()).items]
        assert all(later - earlier < 5 * MINUTE for earlier, later in itertools.combinations(listed, 2))


def test_does_not_move_a_session_back_in_lists(sessions: SessionStore) -> None:
    made = build_session()
    sessions.create(made)
    stale = sessions.get(made.id)
    assert stale is not None
    head = sessions.open_turn(stale, run_of(made, 900), now=NOON + 15 * MINUTE)
    sessions.drop_turn(made.id, run_of(made, 900) if head.turn is None else head.turn.run_id)
    again = sessions.open_turn(stale, run_of(made, 901), now=NOON + 15 * MINUTE + SECOND)
    assert again.listed_at == NOON + 15 * MINUTE + SECOND


def test_lists_with_filters(sessions: SessionStore, tenant_env: TenantEnv) -> None:
    wanted = [build_session(number=number, end_user="ann") for number in range(2)]
    others = [
        build_session(number=7, end_user="bob"),
        build_session(number=8, end_user="ann", owner=OTHER_OWNER),
        build_session(number=9, end_user="ann", agent_id=None),
    ]
    for each in [*wanted, *others]:
        sessions.create(each)
    agent = wanted[0].agent_id or ""
    found = sessions.list_by_owner(OWNER, PageRequest(), end_user="ann", agent_id=agent)
    assert ids(found.items) == ids(wanted[::-1])
    assert ids(sessions.list_all(PageRequest(), end_user="ann", agent_id=agent).items) == ids(
        [others[1], *wanted[::-1]]
    )
    admin = tenant_env.session_service(ADMIN)
    assert ids(admin.list(PageRequest(), user_id=OTHER_OWNER, end_user="ann").items) == [others[1].id]
    assert admin.list(PageRequest(), user_id=OTHER_OWNER, end_user="bob").items == []
    assert tenant_env.session_service().list(PageRequest(), user_id=OTHER_OWNER).items == []


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_with_filters_have_each_session_once_and_a_bounded_cost(
    sessions: SessionStore, tenant_env: TenantEnv, limit: int
) -> None:
    made = [build_session(number=number, end_user="ann" if number % 14 == 0 else "bob") for number in range(40)]
    for each in made:
        sessions.create(each)
    found, request = [], PageRequest(limit)
    while True:
        recorder = Recorder()
        with tenant_env.intercepted(recorder):
            page = sessions.list_all(request, end_user="ann")
        assert recorder.operations.count("Query") <= 10
        assert len(page.items) <= limit
        found += ids(page.items)
        if page.position is None:
            break
        request = PageRequest(limit, page.position)
    assert found == ids([each for each in made[::-1] if each.end_user == "ann"])
