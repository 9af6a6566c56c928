"""The one door to limits, for chat, jobs, tools and RPC alike.

    with door.turn(request) as turn:                admitted, or LimitReached; charged its hold if the body fails
        …
        turn = door.record_token_usage(turn, tokens, cost_nanos)

    with door.tool_call(): …                    counted before it begins
    door.check_and_record({"sessions_per_day": 1})

An `OpenTurn` becomes a `ClosedTurn` when its usage is recorded, and only an open one can be: the type checker says so,
and at run time it is a TypeError.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from atrium.quotas.account import Items
from atrium.quotas.failures import failure_of
from atrium.quotas.model import (
    AdmissionRequest,
    Admitted,
    Heartbeat,
    Hold,
    LeaseLost,
    LimitName,
    Recorded,
    Refused,
    Settlement,
    Subject,
    Used,
)
from atrium.quotas.service import AdmissionService
from atrium.quotas.terms import Terms


@dataclass(slots=True)
class OpenTurn:
    """A turn that holds a slot, tokens and money. Keep its `hold` with the run, for whoever ends it."""

    admitted: Admitted
    _closed: bool = field(default=False, init=False)
    _extended: Hold | None = field(default=None, init=False)

    @property
    def hold(self) -> Hold:
        return self._extended or self.admitted.hold

    def keep(self, hold: Hold) -> None:
        """Remember what is held from now on."""
        self._extended = hold

    @property
    def is_open(self) -> bool:
        return not self._closed

    def close(self) -> Hold:
        """Give the hold up, once; TypeError the second time."""
        if self._closed:
            raise TypeError("this turn's usage is recorded already")
        self._closed = True
        return self.hold


@dataclass(frozen=True, slots=True)
class ClosedTurn:
    """A turn whose usage is recorded; there is nothing to do with it but look."""

    hold: Hold
    settlement: Settlement


@dataclass(frozen=True, slots=True)
class Door:
    """One tenant's, under the terms of this call."""

    service: AdmissionService
    terms: Terms
    subjects: tuple[Subject, ...] = ()

    def check_and_record(self, amounts: Mapping[LimitName, int], subjects: Sequence[Subject] = ()) -> Recorded:
        """Count amounts against their limits, all or nothing; raises `LimitReached` and counts nothing."""
        answer = self.service.record(amounts, self.terms, (*self.subjects, *subjects))
        if isinstance(answer, Refused):
            raise failure_of(answer, self.service.store.clock())
        return answer

    @contextmanager
    def tool_call(self) -> Iterator[Recorded]:
        """Run a tool call under `tool_calls_per_minute`; raises `RateLimited` before it begins."""
        yield self.check_and_record({"tool_calls_per_minute": 1})

    def open_turn(self, request: AdmissionRequest, read: Items = ()) -> OpenTurn:
        """Admit a turn, or raise `LimitReached`. Whoever opens one records its usage on every way out."""
        answer = self.service.admit(request, self.terms, read)
        if isinstance(answer, Refused):
            raise failure_of(answer, self.service.store.clock())
        return OpenTurn(answer)

    def next_call(self, turn: OpenTurn, used: Used, request: AdmissionRequest) -> Hold | LeaseLost:
        """Settle what a turn used so far and hold its next model call, or raise `LimitReached`: it may make none."""
        answer = self.service.extend(turn.hold, used, request, self.terms)
        match answer:
            case Refused():
                raise failure_of(answer, self.service.store.clock())
            case LeaseLost():
                return answer
            case _:
                turn.keep(answer.hold)
                return answer.hold

    def release(self, turn: OpenTurn) -> None:
        """Undo the admission of a turn that never began: it is counted nowhere."""
        self.service.release(turn.close())

    @contextmanager
    def turn(self, request: AdmissionRequest, read: Items = ()) -> Iterator[OpenTurn]:
        """Open a turn for a block. One whose usage the block did not record is charged its hold: the upper bound."""
        turn = self.open_turn(request, read)
        try:
            yield turn
        finally:
            if turn.is_open:
                self.record_token_usage(turn, turn.hold.tokens_in_all, turn.hold.cost_in_all_nanos)

    def keep(self, turn: OpenTurn) -> Heartbeat:
        """Renew a turn's lease: every 15 s, or it is over after 60."""
        return self.service.heartbeat(turn.hold)

    def record_token_usage(self, turn: OpenTurn, tokens: int, cost_nanos: int) -> ClosedTurn:
        """Settle a turn to what it really used and free its slot; TypeError for a turn that is closed."""
        if not isinstance(turn, OpenTurn):
            raise TypeError("only an open turn's usage can be recorded")
        return ClosedTurn(turn.hold, self.service.settle(turn.close(), tokens, cost_nanos))
