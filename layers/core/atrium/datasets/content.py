"""Validates the content of a data set, and infers the types of its columns.

A value that no type fits stays text: a number with leading zeros or more digits than the type has, a date, a formula.
An empty CSV field is null. Errors name the line of the content.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from atrium.datasets.model import Column, ColumnType, DatasetFormat, Scalar
from atrium.kernel.errors import ValidationFailed, invalid_field
from atrium.kernel.texts import find_fault

COLUMNS_MAX = 100
ROWS_MAX = 50_000
COLUMN_NAME_MAX = 64
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_INTEGER_END = 2**63
_CSV_TYPES: tuple[tuple[ColumnType, re.Pattern[str], Callable[[str], Scalar]], ...] = (
    ("boolean", re.compile(r"true|false", re.IGNORECASE), lambda text: text.lower() == "true"),
    ("integer", re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII), int),
    ("number", re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?", re.ASCII), float),
)


@dataclass(frozen=True, slots=True)
class Content:
    """The columns of a data set, and the values of each column in the order of the rows."""

    columns: tuple[Column, ...]
    values: tuple[Sequence[Scalar], ...]
    row_count: int


def read_content(format: DatasetFormat, content: str) -> Content:
    """Parse the content of a data set; raise `ValidationFailed`, which names the line that is wrong."""
    content = content.removeprefix("\ufeff")
    if found := _NOT_TEXT.search(content):
        raise _fault(content.count("\n", 0, found.start()) + 1, "contains a character that is not valid text (U+0000)")
    return _read_csv(content) if format == "csv" else _read_json_lines(content)


def _read_csv(content: str) -> Content:
    reader = csv.reader(StringIO(content, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        header = next(reader, [])
        _check_header(header)
        for row in reader:
            if len(row) not in (0, len(header)):
                raise _fault(reader.line_num, f"has {len(row)} fields, but the header has {len(header)}")
            if row:
                rows.append(row)
                _check_row_count(rows, reader.line_num)
    except csv.Error as error:
        raise _fault(
            reader.line_num,
            "is not valid CSV: a quoted field is not closed, is followed by text, or has more than 131,072 characters",
        ) from error
    typed = [_type_csv([row[at] for row in rows]) for at in range(len(header))]
    return _content(header, typed, len(rows))


def _type_csv(texts: Sequence[str]) -> tuple[ColumnType, Sequence[Scalar]]:
    given = [text for text in texts if text]
    for type, pattern, convert in _CSV_TYPES:
        if given and all(map(pattern.fullmatch, given)):
            return type, [convert(text) if text else None for text in texts]
    return "text", [text or None for text in texts]


def _read_json_lines(content: str) -> Content:
    rows: list[dict[str, Scalar]] = []
    names: dict[str, None] = {}
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        rows.append(dict(_read_members(number, line)))
        _check_row_count(rows, number)
        if not rows[-1].keys() <= names.keys():
            names |= dict.fromkeys(rows[-1])
            _check_header(list(names), number)
    if not names:
        raise _fault(1, 'has no members; at least one line must be a JSON object such as `{"city": "Rome"}`')
    typed = [_type_json([row.get(name) for row in rows]) for name in names]
    return _content(list(names), typed, len(rows))


def _read_members(number: int, line: str) -> Iterator[tuple[str, Scalar]]:
    """Yield the members of the JSON object in a line. Objects are read as tuples, and arrays as lists."""
    try:
        found: Any = json.loads(line, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise _fault(number, "is not valid JSON; each line must be one JSON object") from error
    if not isinstance(found, tuple):
        raise _fault(number, "is not a JSON object")
    if len(dict(found)) < len(found):
        raise _fault(number, "has two members with the same name")
    for name, value in found:
        if isinstance(value, tuple | list):
            raise _fault(number, f"has an object or array as the value of {_show(name)}; values must not be nested")
        if isinstance(value, float) and not math.isfinite(value):
            raise _fault(number, f"has a value of {_show(name)} that is not a finite number")
        if isinstance(value, str) and _NOT_TEXT.search(value):
            raise _fault(number, f"has a value of {_show(name)} that is not valid text (U+0000 or a lone surrogate)")
        yield name, value


def _type_json(values: Sequence[Scalar]) -> tuple[ColumnType, Sequence[Scalar]]:
    kinds = {_kind(value) for value in values if value is not None}
    if kinds in ({"integer", "number"}, {"number"}):
        return "number", [None if value is None else float(value) for value in values]
    if len(kinds) == 1 and kinds != {"text"}:
        return kinds.pop(), values
    return "text", [value if isinstance(value, str | None) else json.dumps(value) for value in values]


def _kind(value: Scalar) -> ColumnType:
    match value:
        case bool():
            return "boolean"
        case int() if -_INTEGER_END <= value < _INTEGER_END:
            return "integer"
        case float():
            return "number"
        case _:
            return "text"


def _content(names: Sequence[str], typed: Sequence[tuple[ColumnType, Sequence[Scalar]]], row_count: int) -> Content:
    columns = tuple(Column(name, type) for name, (type, _) in zip(names, typed, strict=True))
    return Content(columns, tuple(values for _, values in typed), row_count)


def _check_header(names: Sequence[str], line: int = 1) -> None:
    """Raise `ValidationFailed` unless the names of columns are valid and differ, regardless of case, as in SQL."""
    if not 1 <= len(names) <= COLUMNS_MAX:
        raise _fault(line, f"brings the number of columns to {len(names)}; 1 to {COLUMNS_MAX} are allowed")
    seen: set[str] = set()
    for name in names:
        if not name or len(name) > COLUMN_NAME_MAX or _NOT_TEXT.search(name) or find_fault(name):
            raise _fault(
                line,
                f"has the column name {_show(name)}; a name is one line of 1 to {COLUMN_NAME_MAX} visible characters "
                "without a space at its beginning or end",
            )
        if name.lower() in seen:
            raise _fault(line, f"has the column name {_show(name)} twice; names must differ, regardless of case")
        seen.add(name.lower())


def _check_row_count(rows: Sequence[object], line: int) -> None:
    if len(rows) > ROWS_MAX:
        raise _fault(line, f"is row {len(rows)}; at most {ROWS_MAX} rows are allowed")


def _show(name: str) -> str:
    """Return a name for an error message: quoted, in ASCII, and not too long."""
    return json.dumps(name[:COLUMN_NAME_MAX])


def _fault(line: int, text: str) -> ValidationFailed:
    return invalid_field("content", f"line {line} {text}")
