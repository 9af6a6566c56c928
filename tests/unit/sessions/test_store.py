"""A session's item: conditional writes assign the session to one turn at a time."""

from datetime import timedelta

import pytest
from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import mint_session_id, own_ulid
from atrium.kernel.pagination import PageRequest
from atrium.sessions.model import LiveTurn, Session
from atrium.sessions.store import SessionStore, read_session

from tests.builders.runtimes import NOON
from tests.builders.sessions import build_session, ended_run, run_of
from tests.builders.tenant_env import OTHER_TENANT, OWNER, TenantEnv
from tests.builders.wires import lose_replies

SECOND = timedelta(seconds=1)


def test_reads_back_a_session(sessions: SessionStore, session: Session) -> None:
    assert sessions.get(session.id) == session


def test_creates_with_its_first_turn(sessions: SessionStore) -> None:
    plain = build_session(turn_count=1)
    run_id = run_of(plain, 0)
    made = build_session(id=plain.id, turn_count=1, turn=LiveTurn(run_id, NOON), last_run_ulid=own_ulid(run_id))
    sessions.create(made)
    assert sessions.get(made.id) == made


def test_creating_again_after_a_lost_reply(sessions: SessionStore, tenant_env: TenantEnv) -> None:
    made = build_session()
    with tenant_env.intercepted(lose_replies):
        sessions.create(made)
    assert sessions.get(made.id) == made


def test_rejects_a_second_session_with_the_same_id(sessions: SessionStore, session: Session) -> None:
    with pytest.raises(ConditionFailed):
        sessions.create(build_session(id=session.id, created_at=NOON + SECOND))


def test_another_tenants_session_is_not_found(tenant_env: TenantEnv, session: Session) -> None:
    other = tenant_env.sessions(OTHER_TENANT)
    assert other.get(session.id) is None
    assert other.change(session.id, {"title": "x"}, now=NOON) is None
    assert not other.mark_deleted(session.id, now=NOON)
    assert not other.close_turn(ended_run(run_of(session), messages=1))
    with pytest.raises(ConditionFailed) as refused:
        other.open_turn(session, run_of(session), now=NOON)
    assert refused.value.item is None
    assert other.list_all(PageRequest()).items == []
    assert tenant_env.sessions().get(session.id) == session


def test_changing_and_clearing(sessions: SessionStore, session: Session) -> None:
    later = NOON + 5 * SECOND
    changed = sessions.change(session.id, {"title": "New", "agent_id": None, "metadata": "{}"}, now=later)
    assert changed is not None
    assert (changed.title, changed.agent_id, changed.metadata, changed.updated_at) == ("New", None, {}, later)
    assert changed.last_active_at == NOON, "a new name is no activity"
    assert sessions.get(session.id) == changed
    assert sessions.change(mint_session_id(NOON), {"title": "x"}, now=NOON) is None


def test_a_turn_takes_and_releases_the_session(sessions: SessionStore, session: Session) -> None:
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


def test_a_busy_session_cannot_be_taken(sessions: SessionStore, session: Session) -> None:
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


def test_taking_and_releasing_with_lost_replies(
    sessions: SessionStore, session: Session, tenant_env: TenantEnv
) -> None:
    run_id = run_of(session)
    with tenant_env.intercepted(lose_replies):
        taken = sessions.open_turn(session, run_id, now=NOON)
        assert (taken.turn_count, taken.turn) == (1, LiveTurn(run_id, NOON))
        sessions.close_turn(ended_run(run_id, messages=2))
    given = sessions.get(session.id)
    assert given is not None
    assert (given.turn, given.turn_count, given.message_count) == (None, 1, 2)


def test_run_ids_of_a_session_increase(sessions: SessionStore, session: Session) -> None:
    """The history is sorted by run id, so the run ids of a session must increase."""
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


def test_an_undone_turn_is_not_counted(sessions: SessionStore, session: Session) -> None:
    run_id = run_of(session)
    sessions.open_turn(session, run_id, now=NOON)
    assert sessions.drop_turn(session.id, run_id)
    assert not sessions.drop_turn(session.id, run_id)
    given = sessions.get(session.id)
    assert given is not None
    assert (given.turn, given.turn_count, given.message_count) == (None, 0, 0)


def test_only_its_own_turn_removes_a_new_session(sessions: SessionStore) -> None:
    plain = build_session()
    run_id = run_of(plain)
    sessions.create(build_session(id=plain.id, turn=LiveTurn(run_id, NOON)))
    assert not sessions.remove_new(plain.id, run_of(plain, 2))
    assert sessions.remove_new(plain.id, run_id)
    assert sessions.get(plain.id) is None
    assert not sessions.remove_new(plain.id, run_id)


def test_a_deleted_session_is_not_found(sessions: SessionStore, session: Session) -> None:
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
