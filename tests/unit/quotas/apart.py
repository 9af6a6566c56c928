"""A key that is counted apart, its tenant, and what their items say."""

from collections.abc import Mapping
from typing import Any

from atrium.quotas.model import (
    AdmissionRequest,
    Admitted,
    Limits,
    Refused,
    Subject,
)
from atrium.quotas.service import AdmissionService
from atrium.quotas.terms import Terms

from tests.unit.quotas.rooms import Room, check_item, make_run_id

KEY: Limits = {
    "requests_per_minute": 5,
    "requests_per_day": 9,
    "tokens_per_month": 1_000,
    "cost_per_month": 1_000,
    "concurrent_turns": 3,
}
TENANT = Terms({"requests_per_minute": 50, "tokens_per_month": 5_000, "cost_per_month": 5_000, "concurrent_turns": 8})


def key(limits: Limits = KEY, name: str = "key_a") -> Subject:
    return Subject("key", name, limits, apart=True)


def agent(limits: Limits) -> Subject:
    return Subject("agent", "agt_a", limits, apart=True)


def serve(room: Room, *, minutes_open: bool = False) -> AdmissionService:
    return AdmissionService(room.store, minutes_open)


def ask(room: Room, *subjects: Subject, tokens: int = 100, cost: int = 100) -> AdmissionRequest:
    return AdmissionRequest(make_run_id(room.now), tokens, cost, False, subjects)


def admitted(room: Room, *subjects: Subject, terms: Terms = TENANT, tokens: int = 100) -> Admitted:
    answer = serve(room).admit(ask(room, *subjects, tokens=tokens), terms)
    assert isinstance(answer, Admitted), answer
    return answer


def refused(room: Room, *subjects: Subject, terms: Terms = TENANT, tokens: int = 100) -> Refused:
    answer = serve(room).admit(ask(room, *subjects, tokens=tokens), terms)
    assert isinstance(answer, Refused), answer
    return answer


def item(room: Room, place: str = "key_a") -> Mapping[str, Any]:
    found = room.store.at(place).read(0) or {}
    if found:
        check_item(found)
    return found


def month(found: Mapping[str, Any], letter: str) -> int:
    return int(found.get(f"{letter}m202611", 0))
