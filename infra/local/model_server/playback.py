"""Plays an answer as its script says: when it begins, how fast its pieces come, and where it breaks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from infra.local.model_server.answer import Answer, Usage
from infra.local.model_server.errors import ApiError
from infra.local.model_server.exchange import Dropped, Exchange
from infra.local.model_server.script import Script
from infra.local.model_server.wire import Event, events, message

type Break = Literal["overload_midstream", "disconnect", "hang"]
BREAKS: tuple[Break, ...] = ("overload_midstream", "disconnect", "hang")


@dataclass(frozen=True)
class Player:
    """The playing of one answer; `report` is told the usage each time that it is sent."""

    exchange: Exchange
    script: Script
    failing: bool
    hang_seconds: float
    report: Callable[[Usage], None]

    async def refuse(self) -> None:
        """Wait the scripted delay, then raise the failure that this attempt is to meet before any answer."""
        await self.exchange.pause(self.script.delay)
        if self.failing and self.script.status is not None:
            raise ApiError(self.script.status, retry_after=self.script.retry_after)
        if self.failing and self.script.overflow:
            raise ApiError(400, "prompt is too long: 1000001 tokens > 1000000 maximum")

    async def play_whole(self, answer: Answer, message_id: str, model: str) -> None:
        """Send one JSON message, after as long as its pieces would have taken."""
        pieces = sum(event.is_piece for event in self._events(answer, message_id, model))
        for kind in BREAKS:
            if self._breaks_after(kind, pieces) is not None:
                await self._break(kind)
        await self.exchange.pause(self.script.slow * max(0, pieces - 1))
        self.report(answer.usage)
        await self.exchange.send_json(200, message(answer, message_id=message_id, model=model))

    async def play_stream(self, answer: Answer, message_id: str, model: str) -> None:
        """Send the events, each at once; a break comes after its number of pieces, or before `message_delta`."""
        timeline = self._events(answer, message_id, model)
        pieces = sum(event.is_piece for event in timeline)
        breaks = {kind: self._breaks_after(kind, pieces) for kind in BREAKS}
        if breaks["hang"] == 0:
            await self._break("hang")
        await self.exchange.open_stream()
        sent = 0
        for event in timeline:
            if event.is_piece or event.name == "message_delta":
                for kind in BREAKS:
                    if breaks[kind] == sent:
                        await self._break(kind)
            await self.exchange.pause(self.script.slow if event.is_piece and sent else 0)
            if event.usage:
                self.report(event.usage)
            await self.exchange.send_piece(event.encode(), last=event.name == "message_stop")
            sent += event.is_piece

    def _events(self, answer: Answer, message_id: str, model: str) -> list[Event]:
        return list(events(answer, message_id=message_id, model=model, pieces=self.script.pieces))

    def _breaks_after(self, kind: Break, pieces: int) -> int | None:
        after: int | None = getattr(self.script, kind)
        return None if after is None or not self.failing else min(after, pieces)

    async def _break(self, kind: Break) -> None:
        if kind == "overload_midstream":
            raise ApiError(529)
        if kind == "disconnect":
            if not self.exchange.started:
                await self.exchange.send_fragment()
            raise Dropped
        await self.exchange.pause(self.hang_seconds)
        if self.exchange.started:
            raise Dropped
        raise ApiError(504)
