"""Lists of audit events: newest first, without duplicates, filtered by time, type and principal, and in pages."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from atrium.audit.model import AuditEvent, EventType, Origin
from atrium.audit.query import AuditQuery
from atrium.audit.store import READS_MAX, AuditStore
from atrium.kernel.ids import mint_audit_event_id
from atrium.kernel.pagination import PageRequest
from atrium.storage.table import PhysicalTable

from tests.builders.tenant_env import OTHER_TENANT, context_of
from tests.unit.audit.audit_env import ANN, BOB, AuditEnv


@pytest.fixture
def audit_env(physical_table: PhysicalTable) -> AuditEnv:
    return AuditEnv(physical_table)


def fill(audit_env: AuditEnv) -> list[str]:
    """Record 24 events over four days, with a gap of two days. Return the `mark` of each event, newest first."""
    marks = []
    for number in range(24):
        audit = audit_env.audit(ANN if number % 2 else BOB)
        kind: EventType = "auth.login" if number % 3 else "tool.call"
        audit.record(kind, {"mark": str(number), "tool": "clock"}, session_id=f"ses_{number % 4}")
        marks.append(str(number))
        audit_env.clock.advance(3 * 86_400 if number == 11 else 3 * 3_600)
    return marks[::-1]


def marks_of(events: list[AuditEvent]) -> list[str]:
    return [str(event.details["mark"]) for event in events]


@pytest.mark.parametrize("limit", [1, 5, 7, 100])
def test_lists_every_event_once_newest_first_in_pages(audit_env: AuditEnv, limit: int) -> None:
    marks = fill(audit_env)
    pages = list(audit_env.pages(audit_env.ask(), limit))
    assert [mark for page in pages for mark in marks_of(page)] == marks
    assert all(len(page) <= limit for page in pages)
    assert all(len(page) == limit for page in pages[:-2])


@pytest.mark.parametrize("limit", [2, 100])
@pytest.mark.parametrize(
    ("wishes", "keeps"),
    [
        ({"type": "tool.call"}, lambda number: number % 3 == 0),
        ({"user_id": ANN}, lambda number: number % 2 == 1),
        ({"user_id": BOB, "type": "auth.login"}, lambda number: number % 2 == 0 and number % 3 != 0),
        ({"session_id": "ses_3"}, lambda number: number % 4 == 3),
        ({"tool": "clock", "type": "tool.call", "session_id": "ses_0"}, lambda number: number % 12 == 0),
        ({"tool": "other"}, lambda number: False),
    ],
)
def test_filters(audit_env: AuditEnv, wishes: dict[str, str], keeps: object, limit: int) -> None:
    assert callable(keeps)
    marks = [mark for mark in fill(audit_env) if keeps(int(mark))]
    found = [mark for page in audit_env.pages(audit_env.ask(**wishes), limit) for mark in marks_of(page)]
    assert found == marks


@pytest.mark.parametrize("principal", ["", f"user:{ANN}"])
def test_from_is_inclusive_and_to_exclusive(audit_env: AuditEnv, principal: str) -> None:
    start = audit_env.clock()
    for number in range(4):
        audit_env.audit(ANN).record("auth.login", {"mark": str(number)})
        audit_env.clock.advance(60)
    query = AuditQuery(start + timedelta(seconds=60), start + timedelta(seconds=180), principal=principal)
    assert marks_of(audit_env.audit().list(query, PageRequest()).items) == ["2", "1"]


def test_another_tenant_sees_nothing(audit_env: AuditEnv) -> None:
    fill(audit_env)
    other = audit_env.audit(context=context_of(ANN, tenant=OTHER_TENANT))
    for query in (audit_env.ask(), audit_env.ask(type="tool.call"), audit_env.ask(user_id=ANN)):
        assert other.list(query, PageRequest()).items == []


def test_keeps_events_as_long_as_the_plan_says(audit_env: AuditEnv) -> None:
    free = audit_env.audit(context=context_of(ANN, plan="free"))
    free.record("auth.login", {"mark": "free"})
    audit_env.audit(context=context_of(ANN, plan="starter")).record("auth.login", {"mark": "starter"})
    query = AuditQuery(audit_env.clock(), audit_env.clock() + timedelta(days=29))
    audit_env.clock.advance(30 * 86_400 - 1)
    assert set(marks_of(free.list(query, PageRequest()).items)) == {"free", "starter"}
    audit_env.clock.advance(1)
    assert marks_of(free.list(query, PageRequest()).items) == [
        "starter"
    ]  # independent of whether TTL has deleted the items


def test_appends_once_if_the_reply_is_lost(audit_env: AuditEnv) -> None:
    store, now = AuditStore(audit_env.table()), audit_env.clock()
    event = AuditEvent(mint_audit_event_id(now), now, "auth.login", Origin("user:x"), details={"mark": "1"})
    store.put(event, keep_days=30)
    store.put(replace(event, details={"mark": "2"}), keep_days=30)
    assert list(store.list_all(audit_env.ask(), now=now)) == [event]


def test_a_page_reads_a_bounded_number_of_days(audit_env: AuditEnv) -> None:
    audit_env.audit(context=context_of(ANN, plan="enterprise")).record("auth.login", {"mark": "old"})
    audit_env.clock.advance(100 * 86_400)
    query = replace(audit_env.ask(), since=audit_env.clock() - timedelta(days=101))
    pages = list(audit_env.pages(query, 10))
    assert len(pages) == -(-102 // READS_MAX)
    assert [marks_of(page) for page in pages if page] == [["old"]]


def test_events_of_one_moment_keep_an_order(audit_env: AuditEnv) -> None:
    for _ in range(6):
        audit_env.audit(ANN).record("auth.login", {})
    one_by_one = [page[0].id for page in audit_env.pages(audit_env.ask(), 1) if page]
    assert len(set(one_by_one)) == 6
    assert all(newer > older for newer, older in pairwise(one_by_one))
