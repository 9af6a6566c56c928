"""The head of a session: one turn at a time, taken and given back by conditions; lists by last activity."""

from datetime import date, datetime, timedelta

import pytest
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import RunId, mint_run_id, mint_session_id, own_ulid
from atrium.kernel.pagination import PageRequest
from atrium.llm.model import Usage
from atrium.runs.model import Run, Spend
from atrium.sessions.model import USAGE_DAYS, LiveTurn, Session
from atrium.sessions.store import SessionStore, read_session
from atrium.storage import keys
from atrium.usage.model import Figures, Period

from tests.builders.house import OTHER_TENANT, OWNER, House
from tests.builders.runtimes import NOON
from tests.builders.sessions import build_session, ended_run
from tests.builders.wires import lose_replies

SECOND = timedelta(seconds=1)


@pytest.fixture
def sessions(house: House) -> SessionStore:
    return house.sessions()


@pytest.fixture
def session(sessions: SessionStore) -> Session:
    made = build_session()
    sessions.create(made)
    return made


def run_of(session: Session, seconds: int = 1) -> RunId:
    return mint_run_id(NOON + seconds * SECOND, session.id)


def test_a_session_comes_back_as_it_was_created(sessions: SessionStore, session: Session) -> None:
    assert sessions.get(session.id) == session


def test_with_its_first_turn(sessions: SessionStore) -> None:
    plain = build_session(turn_count=1)
    run_id = run_of(plain, 0)
    made = build_session(id=plain.id, turn_count=1, turn=LiveTurn(run_id, NOON), last_run_ulid=own_ulid(run_id))
    sessions.create(made)
    assert sessions.get(made.id) == made


def test_creating_again_after_a_lost_reply(sessions: SessionStore, house: House) -> None:
    made = build_session()
    with house.intercepted(lose_replies):
        sessions.create(made)
    assert sessions.get(made.id) == made


def test_another_session_of_that_id_is_refused(sessions: SessionStore, session: Session) -> None:
    with pytest.raises(ConditionFailed):
        sessions.create(build_session(id=session.id, created_at=NOON + SECOND))


def test_another_tenants_session_is_not_there(house: House, session: Session) -> None:
    other = house.sessions(OTHER_TENANT)
    assert other.get(session.id) is None
    assert other.change(session.id, {"title": "x"}, now=NOON) is None
    assert not other.mark_deleted(session.id, now=NOON)
    assert not other.close_turn(ended_run(run_of(session), messages=1))
    with pytest.raises(ConditionFailed) as refused:
        other.open_turn(session, run_of(session), now=NOON)
    assert refused.value.item is None
    assert other.list_all(PageRequest()).items == []
    assert house.sessions().get(session.id) == session


def test_changing_and_clearing(sessions: SessionStore, session: Session) -> None:
    later = NOON + 5 * SECOND
    changed = sessions.change(session.id, {"title": "New", "agent_id": None, "metadata": "{}"}, now=later)
    assert changed is not None
    assert (changed.title, changed.agent_id, changed.metadata, changed.updated_at) == ("New", None, {}, later)
    assert changed.last_active_at == NOON, "a new name is no activity"
    assert sessions.get(session.id) == changed
    assert sessions.change(mint_session_id(NOON), {"title": "x"}, now=NOON) is None


def test_a_turn_takes_the_session_and_gives_it_back(sessions: SessionStore, session: Session) -> None:
    run_id, at = run_of(session), NOON + SECOND
    taken = sessions.open_turn(session, run_id, now=at)
    assert (taken.turn, taken.turn_count, taken.last_active_at) == (LiveTurn(run_id, at), 1, at)
    assert taken.last_run_ulid == own_ulid(run_id)
    assert sessions.get(session.id) == taken
    assert sessions.close_turn(ended_run(run_id, messages=4))
    given = sessions.get(session.id)
    assert given is not None
    assert (given.turn, given.turn_count, given.message_count) == (None, 1, 4)
    assert not sessions.close_turn(ended_run(run_id, messages=4)), "counted once"
    assert sessions.get(session.id) == given


def test_a_taken_session_is_not_taken_again(sessions: SessionStore, session: Session) -> None:
    first, second = run_of(session, 1), run_of(session, 2)
    sessions.open_turn(session, first, now=NOON)
    with pytest.raises(ConditionFailed) as refused:
        sessions.open_turn(session, second, now=NOON)
    assert refused.value.item is not None
    head = read_session(refused.value.item)
    assert head.turn is not None
    assert head.turn.run_id == first
    assert not sessions.close_turn(ended_run(second, messages=1))
    assert not sessions.drop_turn(session.id, second)


def test_taking_and_giving_back_with_lost_replies(sessions: SessionStore, session: Session, house: House) -> None:
    run_id = run_of(session)
    with house.intercepted(lose_replies):
        taken = sessions.open_turn(session, run_id, now=NOON)
        assert (taken.turn_count, taken.turn) == (1, LiveTurn(run_id, NOON))
        sessions.close_turn(ended_run(run_id, messages=2))
    given = sessions.get(session.id)
    assert given is not None
    assert (given.turn, given.turn_count, given.message_count) == (None, 1, 2)


def test_runs_of_a_session_only_grow(sessions: SessionStore, session: Session) -> None:
    """A clock that is behind must mint again: history is sorted by run ids."""
    later, earlier = run_of(session, 9), run_of(session, 8)
    sessions.open_turn(session, later, now=NOON)
    sessions.close_turn(ended_run(later, messages=2))
    with pytest.raises(ConditionFailed) as refused:
        sessions.open_turn(session, earlier, now=NOON)
    assert refused.value.item is not None
    head = read_session(refused.value.item)
    assert (head.turn, head.last_run_ulid) == (None, own_ulid(later))
    with pytest.raises(ConditionFailed):
        sessions.open_turn(session, later, now=NOON)


def test_a_turn_that_never_came_to_be_is_not_counted(sessions: SessionStore, session: Session) -> None:
    run_id = run_of(session)
    sessions.open_turn(session, run_id, now=NOON)
    assert sessions.drop_turn(session.id, run_id)
    assert not sessions.drop_turn(session.id, run_id)
    given = sessions.get(session.id)
    assert given is not None
    assert (given.turn, given.turn_count, given.message_count) == (None, 0, 0)


def test_a_new_session_is_removed_only_by_its_own_turn(sessions: SessionStore) -> None:
    plain = build_session()
    run_id = run_of(plain)
    sessions.create(build_session(id=plain.id, turn=LiveTurn(run_id, NOON)))
    assert not sessions.remove_new(plain.id, run_of(plain, 2))
    assert sessions.remove_new(plain.id, run_id)
    assert sessions.get(plain.id) is None
    assert not sessions.remove_new(plain.id, run_id)


def test_a_deleted_session_is_gone_for_everyone(sessions: SessionStore, session: Session) -> None:
    run_id = run_of(session)
    sessions.open_turn(session, run_id, now=NOON)
    assert sessions.mark_deleted(session.id, now=NOON)
    assert sessions.mark_deleted(session.id, now=NOON), "again is no error"
    assert sessions.get(session.id) is None
    assert sessions.list_all(PageRequest()).items == []
    assert sessions.list_by_owner(OWNER, PageRequest()).items == []
    assert sessions.change(session.id, {"title": "x"}, now=NOON) is None
    assert not sessions.close_turn(ended_run(run_id, messages=1))
    with pytest.raises(ConditionFailed):
        sessions.open_turn(session, run_of(session, 2), now=NOON)
    left = sessions.get(session.id, with_deleted=True)
    assert left is not None
    assert left.is_deleted
    sessions.remove(session.id)
    sessions.remove(session.id)
    assert sessions.get(session.id, with_deleted=True) is None
    assert not sessions.mark_deleted(session.id, now=NOON)


SPEND = Spend(Usage(100, 20, 0, 4), {"calculator": 2}, 12_345)
TURN = Figures(1, 100, 20, 0, 4, 2, 12_345)


def take(sessions: SessionStore, session: Session, seconds: int, *, at: datetime, spend: Spend = SPEND) -> Run:
    """Let a session have a turn that begins and ends at a moment."""
    read = sessions.get(session.id)
    assert read is not None
    run_id = run_of(session, seconds)
    sessions.open_turn(read, run_id, now=at)
    run = ended_run(run_id, at=at, spend=spend)
    assert sessions.close_turn(run)
    return run


def test_closing_a_turn_adds_its_usage_once(sessions: SessionStore, session: Session, house: House) -> None:
    run_id = run_of(session)
    sessions.open_turn(session, run_id, now=NOON)
    with house.intercepted(lose_replies):
        sessions.close_turn(ended_run(run_id, spend=SPEND))
    assert not sessions.close_turn(ended_run(run_id, spend=SPEND))
    given = sessions.get(session.id)
    assert given is not None
    assert given.usage == {NOON.date(): TURN}


def test_usage_is_by_the_utc_day_on_which_the_turn_ended(sessions: SessionStore, session: Session) -> None:
    midnight = datetime.combine(NOON.date() + timedelta(days=1), datetime.min.time(), NOON.tzinfo)
    take(sessions, session, 1, at=NOON)
    take(sessions, session, 2, at=midnight - SECOND)
    take(sessions, session, 3, at=midnight, spend=Spend())
    given = sessions.get(session.id)
    assert given is not None
    assert given.usage == {NOON.date(): TURN + TURN, midnight.date(): Figures(requests=1)}


def test_a_dropped_turn_adds_no_usage(sessions: SessionStore, session: Session) -> None:
    sessions.open_turn(session, run_of(session), now=NOON)
    sessions.drop_turn(session.id, run_of(session))
    given = sessions.get(session.id)
    assert given is not None
    assert given.usage == {}


def test_usage_is_kept_for_its_days_and_then_removed(sessions: SessionStore, session: Session, house: House) -> None:
    for days in range(3):
        take(sessions, session, days + 1, at=NOON + timedelta(days=days))
    take(sessions, session, 9, at=NOON + timedelta(days=USAGE_DAYS + 2))
    given = sessions.get(session.id)
    assert given is not None
    assert sorted(given.usage) == [NOON.date() + timedelta(days=2), NOON.date() + timedelta(days=USAGE_DAYS + 2)]
    names = house.table().get(keys.session(session.id)) or {}
    assert sum(name.startswith(("u26", "u27")) for name in names) == 2 * 6


def test_a_session_that_slept_with_many_days_is_opened(sessions: SessionStore) -> None:
    days = {NOON.date() - timedelta(days=each): TURN for each in range(1, USAGE_DAYS + 1)}
    made = build_session()
    sessions.create(made)
    read = build_session(id=made.id, usage=days)
    later = NOON + timedelta(days=400)
    assert sessions.open_turn(read, run_of(made), now=later).last_active_at == later


def test_sessions_with_usage_in_a_period(sessions: SessionStore) -> None:
    days = [NOON - timedelta(days=each) for each in range(4)]
    made = [build_session(number=number) for number in range(5)]
    for each in made:
        sessions.create(each)
    take(sessions, made[0], 1, at=days[3])
    take(sessions, made[0], 2, at=days[1])
    take(sessions, made[1], 1, at=days[1])
    take(sessions, made[2], 1, at=days[0])
    take(sessions, made[3], 1, at=days[2])
    sessions.mark_deleted(made[3].id, now=NOON)
    period = Period(days[2].date(), days[1].date())
    assert sessions.list_used(period, PageRequest()).items == [(made[0].id, TURN), (made[1].id, TURN)]
    found, position = list[str](), None
    for _ in range(10):
        page = sessions.list_used(Period(date(2026, 11, 1), NOON.date()), PageRequest(1, position))
        found += [name for name, _ in page.items]
        if (position := page.position) is None:
            break
    assert found == [made[0].id, made[1].id, made[2].id]


def test_a_page_of_sessions_reads_a_bounded_number_of_heads(sessions: SessionStore) -> None:
    for number in range(12):
        sessions.create(build_session(number=number))
    page = sessions.list_used(Period(NOON.date(), NOON.date()), PageRequest(1))
    assert (page.items, page.position is None) == ([], False)
