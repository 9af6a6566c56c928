"""Exports the audit as a file, in parts. Each part is smaller than the size limit of a Lambda response."""

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
    """A part of an export: complete lines as text, and the position of the next part (None after the last part)."""

    text: str
    position: Position | None


def _write_line(event: AuditEvent, file_format: Literal["csv", "jsonl"]) -> str:
    return (
        write_csv_event(event) if file_format == "csv" else json.dumps(render_event(event), ensure_ascii=False) + "\n"
    )


def export_piece(
    audit: AuditService, query: AuditQuery, file_format: Literal["csv", "jsonl"], position: Position | None
) -> Piece:
    """Return the next part of an export, starting after `position`, newest event first.

    The first part of a CSV file begins with the column names. Reading stops when the part exceeds 2.5 MB of JSON text.
    One read returns up to 50 events (at most 2 MB), so a part stays below the 6 MB limit of a Lambda response.
    """
    lines = [write_csv_line(list(COLUMNS))] if file_format == "csv" and position is None else []
    size = 0
    for _ in range(READS_MAX):
        page = audit.list(query, PageRequest(EVENTS_A_READ, position))
        found = [_write_line(event, file_format) for event in page.items]
        size += sum(len(json.dumps(line)) for line in found)
        lines += found
        position = page.position
        if position is None or size >= BYTES_ENOUGH:
            break
    return Piece("".join(lines), position)
