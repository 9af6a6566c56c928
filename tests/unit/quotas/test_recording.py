"""Sessions and tool calls are counted at most once, and do not need a slot."""

from collections.abc import Callable
from typing import Any

import pytest
from atrium.kernel.errors import Unavailable
from atrium.kernel.ids import SessionId
from atrium.quotas.model import (
    TENANT,
    Recorded,
    Rejected,
    ScopeLimits,
    tool_scopes,
)
from atrium.storage import keys
from atrium.storage.table import Contended
from atrium.storage.writes import NEW, Put

from tests.builders.quota_env import BOTH, KEY, OWN, Gone, Quotas

SESSION = SessionId("ses_01kakz4kc0f3v9q4w7t1y0z5ah")


# --- sessions


def record(quotas: Quotas, number: int, items: Any = None) -> Recorded | Rejected:
    session_id = SessionId(f"ses_{number:026d}")
    put = Put(keys.session(session_id), {"id": session_id}, NEW)
    return quotas.service.record_session(session_id, put, BOTH, items or quotas.service.read(BOTH))


def test_a_session_is_counted_with_its_record(quotas: Quotas) -> None:
    seen = quotas.service.read(BOTH)
    assert [type(record(quotas, number, seen)) for number in range(3)] == [Recorded, Recorded, Rejected]
    assert [item["sd20261121"] for item in quotas.items()] == [2, 2]
    kept = [key for key in quotas.table.items if key.partition.startswith(("SESSION", "BEGUN"))]
    assert len(kept) == 4
    before = len(quotas.table.calls)
    assert isinstance(record(quotas, 9), Rejected)
    assert quotas.table.calls[before:] == ["batch_get", "get"]


def test_a_session_names_the_limit_that_frees_last(quotas: Quotas) -> None:
    key, put = ScopeLimits("key", {"sessions_per_day": 1}, "key_1"), Put(keys.session(SESSION), {"id": SESSION}, NEW)
    scopes = (key, ScopeLimits("tenant", {}))
    assert isinstance(quotas.service.record_session(SESSION, put, scopes, quotas.service.read(scopes)), Recorded)
    scopes, other = (key, ScopeLimits("tenant", {"sessions_per_day": 0})), SessionId("ses_01kakz4kc0f3v9q4w7t1y0z5aj")
    put = Put(keys.session(other), {"id": other}, NEW)
    rejected = quotas.service.record_session(other, put, scopes, quotas.service.read(scopes))
    assert isinstance(rejected, Rejected)
    assert (rejected.scope, rejected.retry_after_seconds) == ("tenant", None)


def test_counts_a_session_once_if_the_reply_is_lost(quotas: Quotas) -> None:
    seen = quotas.service.read(BOTH)
    assert isinstance(record(quotas, 1, seen), Recorded)
    for items in (seen, None):
        answer = record(quotas, 1, items)
        assert isinstance(answer, Recorded)
    assert [item["sd20261121"] for item in quotas.items()] == [1, 1]


def test_a_retry_of_the_last_session_of_the_day_is_not_rejected(quotas: Quotas) -> None:
    """The limit is reached by the first attempt, whose reply was lost."""
    for number in (1, 2):
        assert isinstance(record(quotas, number), Recorded)
    assert isinstance(record(quotas, 2), Recorded)
    assert isinstance(record(quotas, 3), Rejected)
    assert [item["sd20261121"] for item in quotas.items()] == [2, 2]


def test_a_session_under_contention_is_counted_once(quotas: Quotas) -> None:
    attempts = 0

    def disturb(name: str, send: Callable[[], Any]) -> Any:
        nonlocal attempts
        if name == "transact":
            attempts += 1
            if attempts == 1:
                raise Contended(internal="another transaction")
            if attempts == 2:
                quotas.table.intercept = None
                quotas.clock.advance(1)
                quotas.admit()
                quotas.table.intercept = disturb
        return send()

    quotas.table.intercept = disturb
    assert isinstance(record(quotas, 1), Recorded)
    assert (attempts, [item["sd20261121"] for item in quotas.items()]) == (3, [1, 1])


# --- tool calls


def kept(quotas: Quotas) -> list[int]:
    return [quotas.table.items.get(keys.tool_calls(each), {}).get("kn", 0) for each in ("key_1", TENANT)]


def test_tool_calls_are_counted_in_each_scope_that_limits_them(quotas: Quotas) -> None:
    for _ in range(2):
        assert isinstance(quotas.service.record_tool_call(BOTH), Recorded)
    before = len(quotas.table.calls)
    rejected = quotas.service.record_tool_call(BOTH)
    assert isinstance(rejected, Rejected)
    assert (rejected.scope, rejected.limit, rejected.retry_after_seconds) == ("key", "tool_calls_per_minute", 61)
    assert quotas.table.calls[before:] == ["batch_get"]
    assert isinstance(quotas.service.record_tool_call((OWN,)), Recorded)
    before = len(quotas.table.calls)
    other = quotas.service.record_tool_call((ScopeLimits("key", {"tool_calls_per_minute": 9}, "key_1"), OWN))
    assert isinstance(other, Rejected)
    assert (other.scope, quotas.table.calls[before:]) == ("tenant", ["batch_get"])
    assert kept(quotas) == [2, 3]


def test_a_tool_call_names_the_limit_that_frees_last(quotas: Quotas) -> None:
    for scopes in ((KEY,), (KEY,), (OWN,), (OWN,), (OWN,)):
        quotas.service.record_tool_call(scopes)
        quotas.clock.advance(5)
    rejected = quotas.service.record_tool_call(BOTH)
    assert isinstance(rejected, Rejected)
    assert (rejected.scope, rejected.retry_after_seconds) == ("tenant", 61 - 15)
    quotas.clock.advance(61 - 15)
    assert isinstance(quotas.service.record_tool_call(BOTH), Recorded)


def test_a_rejected_tool_call_is_not_counted(quotas: Quotas) -> None:
    for _ in range(2):
        quotas.service.record_tool_call((OWN,))

    def overtake(name: str, send: Callable[[], Any]) -> Any:
        if name == "write":
            quotas.table.intercept = None
            quotas.service.record_tool_call((OWN,))
        return send()

    quotas.table.intercept = overtake
    rejected = quotas.service.record_tool_call(BOTH)
    assert isinstance(rejected, Rejected)
    assert rejected.scope == "tenant"
    assert kept(quotas) == [0, 3]


def test_a_tool_is_counted_only_if_its_limit_can_be_reached_first(quotas: Quotas) -> None:
    """The tenant's limit is 3."""
    assert tool_scopes("probe", 3, BOTH) == BOTH
    assert tool_scopes("probe", 100, BOTH) == BOTH
    assert [each.id for each in tool_scopes("probe", 2, BOTH)] == ["TOOL#probe", "key_1", TENANT]
    unlimited = (ScopeLimits("tenant", {}),)
    assert [each.maximum("tool_calls_per_minute") for each in tool_scopes("probe", 100, unlimited)] == [100, -1]
    for calls_per_minute, writes in ((3, 1), (2, 2)):
        before = len(quotas.table.calls)
        assert isinstance(quotas.service.record_tool_call(tool_scopes("probe", calls_per_minute, (OWN,))), Recorded)
        assert quotas.table.calls[before:] == ["batch_get", *["write"] * writes]


def test_the_limit_of_a_tool_is_that_tools_in_that_tenant(quotas: Quotas) -> None:
    scopes = tool_scopes("probe", 1, (OWN,))
    assert isinstance(quotas.service.record_tool_call(scopes), Recorded)
    before = len(quotas.table.calls)
    rejected = quotas.service.record_tool_call(scopes)
    assert isinstance(rejected, Rejected)
    assert (rejected.scope, rejected.used, rejected.max, rejected.retry_after_seconds) == ("tool", 1, 1, 61)
    assert quotas.table.calls[before:] == ["batch_get"]
    assert isinstance(quotas.service.record_tool_call(tool_scopes("other", 1, (OWN,))), Recorded)
    quotas.clock.advance(61)
    assert isinstance(quotas.service.record_tool_call(scopes), Recorded)


def test_a_call_that_the_tenant_rejects_is_not_counted_for_the_tool(quotas: Quotas) -> None:
    """Another call takes the tenant's last one after the read."""
    for _ in range(2):
        quotas.service.record_tool_call((OWN,))

    def overtake(name: str, send: Callable[[], Any]) -> Any:
        if name == "write":
            quotas.table.intercept = None
            quotas.service.record_tool_call((OWN,))
        return send()

    quotas.table.intercept = overtake
    rejected = quotas.service.record_tool_call(tool_scopes("probe", 2, (OWN,)))
    assert isinstance(rejected, Rejected)
    assert rejected.scope == "tenant"
    assert quotas.table.items[keys.tool_calls("TOOL#probe")].get("kn", 0) == 0


def test_without_a_limit_a_tool_call_costs_nothing(quotas: Quotas) -> None:
    assert quotas.service.record_tool_call((ScopeLimits("tenant", {}),)) == Recorded()
    assert "write" not in quotas.table.calls


def test_admits_tool_calls_during_an_outage_if_configured(quotas: Quotas) -> None:
    quotas.table.intercept = Gone()
    with pytest.raises(Unavailable):
        quotas.service.record_tool_call(BOTH)
    quotas.minutes_open = True
    assert quotas.service.record_tool_call(BOTH) == Recorded(degraded=True)
