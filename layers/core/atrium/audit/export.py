"""The audit as a file, piece by piece: a buffered answer is bounded, so a piece ends before its bytes do."""

import json
from dataclasses import dataclass
from typing import Literal

from atrium.audit.model import AuditEvent
from atrium.audit.query import AuditQuery
from atrium.audit.service import COLUMNS, AuditService, render_event, write_csv_event, write_csv_line
from atrium.kernel.pagination import PageRequest, Position

EVENTS_A_READ = 50
BYTES_ENOUGH = 2_500_000
READS_MAX = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines, and where the next piece begins (None: this was the last)."""

    text: str
    position: Position | None


def _write_line(event: AuditEvent, form: Literal["csv", "jsonl"]) -> str:
    return write_csv_event(event) if form == "csv" else json.dumps(render_event(event), ensure_ascii=False) + "\n"


def export_piece(
    audit: AuditService, query: AuditQuery, form: Literal["csv", "jsonl"], position: Position | None
) -> Piece:
    """Return the lines from a position on, newest event first; the first piece of CSV names the columns.

    A piece ends after a read that brings it over 2.5 MB as JSON text, which is how Lambda hands it on: 50 events are
    2 MB at most, so it stays below the 6 MB that an answer may have.
    """
    lines = [write_csv_line(list(COLUMNS))] if form == "csv" and position is None else []
    size = 0
    for _ in range(READS_MAX):
        page = audit.list(query, PageRequest(EVENTS_A_READ, position))
        found = [_write_line(event, form) for event in page.items]
        size += sum(len(json.dumps(line)) for line in found)
        lines += found
        position = page.position
        if position is None or size >= BYTES_ENOUGH:
            break
    return Piece("".join(lines), position)
