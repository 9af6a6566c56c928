"""`POST /v1/messages`: read, judge, answer as scripted, and keep the journal true to what happened."""

import secrets
import time
from dataclasses import dataclass

import pydantic_core
from pydantic import JsonValue

from infra.local.model_server.answer import Usage, compose
from infra.local.model_server.caller import identify, public_headers
from infra.local.model_server.conversation import read_conversation
from infra.local.model_server.errors import ApiError
from infra.local.model_server.exchange import ClientClosed, Exchange
from infra.local.model_server.journal import Journal
from infra.local.model_server.playback import Player
from infra.local.model_server.records import Outcome
from infra.local.model_server.request import MessagesRequest, Prompt, read_prompt
from infra.local.model_server.script import read_script


@dataclass
class Entry:
    """The journal's entry of one request; the first `close` counts, later ones do nothing."""

    journal: Journal
    n: int
    usage: Usage | None = None
    closed: bool = False

    def start(self, status: int) -> None:
        """Note the answer's first byte."""
        self.journal.note(self.n, first_byte_at=time.time(), status=status)

    def report(self, usage: Usage) -> None:
        """Note the usage that the client is told."""
        self.usage = usage
        self.journal.note(self.n, usage=usage)

    def close(self, outcome: Outcome) -> None:
        """Note the end."""
        if not self.closed:
            self.closed = True
            self.journal.close(self.n, outcome, self.usage)


async def answer_messages(exchange: Exchange, journal: Journal, *, hang_seconds: float) -> None:
    """Answer one request and journal it, whatever becomes of it."""
    started_at = time.time()
    raw = await exchange.read_body()
    try:
        body = parse_json(raw)
    except ApiError:
        body = None
    entry = Entry(journal, journal.open(exchange.request_id, started_at, public_headers(exchange.headers), body))
    exchange.on_start = entry.start
    exchange.on_last = lambda: entry.close("completed")
    try:
        await _answer(exchange, raw, entry, hang_seconds)
    except ApiError as error:
        journal.note(entry.n, error_type=error.kind)
        entry.close("error")
        await exchange.send_error(error)
    except ClientClosed:
        entry.close("client_closed")
        raise
    finally:
        entry.close("error")


async def count_prompt(exchange: Exchange) -> None:
    """`POST /v1/messages/count_tokens`: the prompt's size, by the same count that usage reports."""
    raw = await exchange.read_body()
    prompt = read_prompt(Prompt, parse_json(raw), identify(exchange.headers))
    await exchange.send_json(200, {"input_tokens": prompt.input_tokens})


def parse_json(raw: bytes) -> JsonValue:
    """Parse a body strictly; 400 for what is not JSON in UTF-8."""
    try:
        body: JsonValue = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"The request body is not valid JSON: {error}") from error
    return body


async def _answer(exchange: Exchange, raw: bytes, entry: Entry, hang_seconds: float) -> None:
    caller = identify(exchange.headers)
    body = parse_json(raw)
    request = read_prompt(MessagesRequest, body, caller)
    conversation = read_conversation(request.messages)
    script = read_script(conversation.last)
    failing = False
    if script.can_fail and isinstance(body, dict):
        attempt = entry.journal.count_attempt(body["messages"])
        entry.journal.note(entry.n, attempt=attempt)
        failing = script.times is None or attempt <= script.times
    player = Player(exchange, script, failing, hang_seconds, entry.report)
    await player.refuse()
    answer = compose(request, script, conversation)
    play = player.play_stream if request.stream else player.play_whole
    await play(answer, f"msg_01{secrets.token_hex(11)}", request.model)
