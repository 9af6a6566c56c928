"""Subjects that are counted apart: their limits hold with their tenant's, and what one refuses the others forget."""

from datetime import timedelta

import pytest
from atrium.kernel.errors import LimitReached, Unavailable
from atrium.kernel.ids import mint_session_id
from atrium.quotas.beginning import SessionDoor, read_begun
from atrium.quotas.door import Door
from atrium.quotas.headers import rate_limit_headers
from atrium.quotas.model import (
    Admitted,
    Limits,
    NotHeld,
    Recorded,
    Refused,
)
from atrium.quotas.residents import RESIDENTS_MAX, is_apart, settle_in
from atrium.quotas.terms import Terms
from atrium.storage import keys
from atrium.storage.table import PhysicalTable
from atrium.storage.writes import NEW, Put
from botocore.exceptions import ReadTimeoutError

from tests.unit.quotas.apart import KEY, TENANT, admitted, agent, ask, item, key, month, refused, serve
from tests.unit.quotas.rooms import Room


@pytest.fixture
def room(physical_table: PhysicalTable) -> Room:
    return Room(physical_table, {})


def test_it_is_counted_in_its_own_item_and_in_the_tenants_without_its_name(room: Room) -> None:
    answer = admitted(room, key())
    own, tenant = item(room), room.item()
    assert (own["rn"], month(own, "t"), month(own, "c"), len(own["slots"])) == (1, 100, 100, 1)
    assert not [name for name in tenant if name.startswith("k") and "_" in name]
    assert (tenant["rn"], month(tenant, "t")) == (1, 100)
    assert [each.limit for each in answer.readings if each.scope == "key"] == list(KEY)
    assert '"key.requests_per_day";r=8' in rate_limit_headers(answer, room.now.timestamp())["RateLimit"]


def test_its_limit_refuses_by_its_name_and_the_tenant_forgets_nothing(room: Room) -> None:
    for _ in range(3):
        admitted(room, key())
    answer = refused(room, key())
    assert (answer.limit, answer.scope, answer.used, answer.max) == ("concurrent_turns", "key", 3, 3)
    assert room.item()["rn"] == 3
    assert isinstance(serve(room).admit(ask(room), TENANT), Admitted), "another caller of the tenant is admitted"


def test_what_the_tenant_refuses_its_item_has_not_counted(room: Room) -> None:
    terms = Terms({"requests_per_minute": 2, "concurrent_turns": 8})
    for _ in range(2):
        admitted(room, key(), terms=terms)
    before = dict(item(room))
    answer = refused(room, key(), terms=terms)
    assert (answer.limit, answer.scope) == ("requests_per_minute", "tenant")
    own = item(room)
    for name in ("rn", "rd20261121", "tm202611", "cm202611", "slots"):
        assert own[name] == before[name], name


def test_what_another_subject_refuses_none_has_counted(room: Room) -> None:
    tight = agent({"requests_per_minute": 1})
    admitted(room, key(), tight)
    before = dict(item(room))
    answer = refused(room, key(), tight)
    assert (answer.limit, answer.scope) == ("requests_per_minute", "agent")
    assert (item(room)["rn"], item(room)["slots"]) == (before["rn"], before["slots"])
    assert room.item()["rn"] == 1


def test_the_refusal_that_frees_last_is_told_and_is_true(room: Room) -> None:
    both = Terms({"requests_per_minute": 1, "concurrent_turns": 8})
    admitted(room, terms=both)
    room.turn(20)
    short = key({"requests_per_minute": 1})
    admitted(room, short)
    answer = refused(room, short, terms=both)
    assert (answer.scope, answer.retry_after_seconds) == ("key", 61)
    room.turn(58)
    admitted(room)
    answer = refused(room, short, terms=both)
    assert (answer.scope, answer.limit) == ("tenant", "requests_per_minute"), "the key's own frees earlier"
    room.turn(answer.retry_after_seconds or 0)
    admitted(room, short, terms=both)


def test_what_is_not_a_turn_is_counted_in_both_or_nowhere(room: Room) -> None:
    subject, tools = key({"tool_calls_per_minute": 3}), Terms({"tool_calls_per_minute": 2, "concurrent_turns": 8})
    service = serve(room)
    for _ in range(2):
        assert isinstance(service.record({"tool_calls_per_minute": 1}, tools, (subject,)), Recorded)
    answer = service.record({"tool_calls_per_minute": 1}, tools, (subject,))
    assert isinstance(answer, Refused)
    assert (answer.scope, item(room)["kn"], room.item()["kn"]) == ("tenant", 2, 2)
    answer = service.record(
        {"tool_calls_per_minute": 2}, Terms({"tool_calls_per_minute": 9, "concurrent_turns": 8}), (subject,)
    )
    assert isinstance(answer, Refused)
    assert (answer.scope, room.item()["kn"]) == ("key", 2)


def test_the_door_knows_them_too(room: Room) -> None:
    door = Door(serve(room), TENANT, (key({"tool_calls_per_minute": 1}),))
    with door.tool_call():
        pass
    with pytest.raises(LimitReached) as refusal, door.tool_call():
        pass
    assert refusal.value.extensions["scope"] == "key"


@pytest.mark.parametrize("of_tenant", [{}, {"sessions_per_day": 3, "concurrent_turns": 8}])
def test_a_session_without_a_turn_is_counted_with_its_record(room: Room, of_tenant: Limits) -> None:
    terms = Terms(of_tenant)
    for left in (True, True, False):
        session_id = mint_session_id(room.now)
        door = SessionDoor(room.store, terms, (key({"sessions_per_day": 2}),))
        record = Put(keys.session(session_id), {"id": session_id}, NEW)
        if left:
            door.begin(session_id, record)
        else:
            with pytest.raises(LimitReached) as refusal:
                door.begin(session_id, record)
            assert refusal.value.extensions["scope"] == "key"
            assert room.store.table.get(keys.session(session_id)) is None
    assert item(room)["sd20261121"] == 2
    if of_tenant:
        assert room.item()["sd20261121"] == 2
    begun = list(read_begun(room.store.table, room.now.date()))
    assert [sorted(each) for each in begun] == [["", "key_a"] if of_tenant else ["key_a"]] * 2


@pytest.mark.parametrize("operation", ["UpdateItem", "GetItem"])
@pytest.mark.parametrize("at", range(1, 4))
def test_a_table_that_falls_silent_charges_nothing_for_good(room: Room, operation: str, at: int) -> None:
    events, calls = room.physical.client.meta.events, 0

    def lose(**_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise ReadTimeoutError(endpoint_url="gone")

    events.register(f"after-call.dynamodb.{operation}", lose)
    try:
        answer = serve(room).admit(ask(room, key()), TENANT)
    except Unavailable:
        answer = None
    finally:
        events.unregister(f"after-call.dynamodb.{operation}", lose)
    expected = 1 if isinstance(answer, Admitted) else 0
    for found in (item(room), room.store.read(0) or {}):
        assert (found.get("rn", 0), len(found.get("slots", {}))) == (expected, expected), found


def test_minutes_are_open_for_it_too(room: Room) -> None:
    def fail(**_: object) -> None:
        raise ReadTimeoutError(endpoint_url="gone")

    room.physical.client.meta.events.register("before-call.dynamodb", fail)
    try:
        answer = serve(room, minutes_open=True).admit(
            ask(room, key({"requests_per_minute": 1})), Terms({"requests_per_minute": 5})
        )
        assert isinstance(answer, Admitted)
        assert answer.degraded
        with pytest.raises(Unavailable):
            serve(room, minutes_open=True).admit(ask(room, key()), Terms({"requests_per_minute": 5}))
    finally:
        room.physical.client.meta.events.unregister("before-call.dynamodb", fail)
    assert serve(room).settle(answer.hold, 1, 1) == NotHeld()


def test_a_clock_that_is_behind_counts_in_the_items_own_time(room: Room) -> None:
    admitted(room, key({"requests_per_minute": 1}))
    room.skew = timedelta(seconds=-2)
    assert refused(room, key({"requests_per_minute": 1})).scope == "key"


def test_the_first_twenty_live_with_their_tenant_and_stay(room: Room) -> None:
    table = room.store.table
    table.write(Put(keys.tenant(), {"id": room.tenant, "plan": "starter"}, NEW))
    for number in range(RESIDENTS_MAX + 3):
        settle_in(table, f"key_{number}", {"requests_per_minute": 1})
        settle_in(table, f"key_{number}", {"requests_per_minute": 2})
        settle_in(table, f"key_none_{number}", None)
    tenant = table.get(keys.tenant()) or {}
    assert [number for number in range(40) if not is_apart(tenant, f"key_{number}")] == list(range(RESIDENTS_MAX))
