"""A session's usage by day. The write that releases the session adds the usage of the turn exactly once."""

from datetime import date, datetime, timedelta

from atrium.kernel.pagination import PageRequest
from atrium.llm.model import Usage
from atrium.runs.model import Run, Spend
from atrium.sessions.model import USAGE_DAYS, Session
from atrium.sessions.store import SessionStore
from atrium.storage import keys
from atrium.usage.model import Figures, Period

from tests.builders.runtimes import NOON
from tests.builders.sessions import build_session, ended_run, run_of
from tests.builders.tenant_env import TenantEnv
from tests.builders.wires import lose_replies

SECOND = timedelta(seconds=1)
SPEND = Spend(Usage(100, 20, 0, 4), {"calculator": 2}, 12_345)
TURN = Figures(1, 100, 20, 0, 4, 2, 12_345)


def take(sessions: SessionStore, session: Session, seconds: int, *, at: datetime, spend: Spend = SPEND) -> Run:
    """Open and end a turn of a session at the time `at`. Return the ended run."""
    read = sessions.get(session.id)
    assert read is not None
    run_id = run_of(session, seconds)
    sessions.open_turn(read, run_id, now=at)
    run = ended_run(run_id, at=at, spend=spend)
    assert sessions.close_turn(run)
    return run


def test_releasing_the_session_adds_the_turns_usage_once(
    sessions: SessionStore, session: Session, tenant_env: TenantEnv
) -> None:
    run_id = run_of(session)
    sessions.open_turn(session, run_id, now=NOON)
    with tenant_env.intercepted(lose_replies):
        sessions.close_turn(ended_run(run_id, spend=SPEND))
    assert not sessions.close_turn(ended_run(run_id, spend=SPEND))
    given = sessions.get(session.id)
    assert given is not None
    assert given.usage == {NOON.date(): TURN}


def test_usage_counts_on_the_utc_day_of_the_turns_end(sessions: SessionStore, session: Session) -> None:
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


def test_removes_usage_after_its_retention(sessions: SessionStore, session: Session, tenant_env: TenantEnv) -> None:
    for days in range(3):
        take(sessions, session, days + 1, at=NOON + timedelta(days=days))
    take(sessions, session, 9, at=NOON + timedelta(days=USAGE_DAYS + 2))
    given = sessions.get(session.id)
    assert given is not None
    assert sorted(given.usage) == [NOON.date() + timedelta(days=2), NOON.date() + timedelta(days=USAGE_DAYS + 2)]
    names = tenant_env.table().get(keys.session(session.id)) or {}
    assert sum(name.startswith(("u26", "u27")) for name in names) == 2 * 6


def test_opens_a_session_with_many_old_days(sessions: SessionStore) -> None:
    days = {NOON.date() - timedelta(days=each): TURN for each in range(1, USAGE_DAYS + 1)}
    made = build_session()
    sessions.create(made)
    read = build_session(id=made.id, usage=days)
    later = NOON + timedelta(days=400)
    assert sessions.open_turn(read, run_of(made), now=later).last_active_at == later


def test_lists_sessions_with_usage_in_a_period(sessions: SessionStore) -> None:
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


def test_a_page_reads_a_bounded_number_of_sessions(sessions: SessionStore) -> None:
    for number in range(12):
        sessions.create(build_session(number=number))
    page = sessions.list_used(Period(NOON.date(), NOON.date()), PageRequest(1))
    assert (page.items, page.position is None) == ([], False)
