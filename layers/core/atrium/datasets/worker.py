"""Executes one query over SQLite images. `sandbox.py` starts it as a process of its own.

Imports only the standard library, and no other module of the platform. Standard input is a line of JSON, then the
images. Standard output is JSON: the result, or `fault`, a text for the caller. SQLite's own messages are passed on,
because they can only contain names and texts of the query and its tables.
"""

import json
import resource
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

ROWS_MAX = 1_000
CPU_SECONDS_MAX = 5
MEMORY_BYTES_MAX = 256_000_000
HEAP_BYTES_MAX = 128_000_000
FAULT_LENGTH_MAX = 300
FUNCTIONS = frozenset({
    "abs", "avg", "ceil", "coalesce", "count", "cume_dist", "current_date",
    "current_timestamp", "date", "datetime", "dense_rank", "exp",
    "first_value", "floor", "glob", "group_concat", "ifnull", "iif", "instr", "json_extract", "julianday", "lag",
    "last_value", "lead", "length", "like", "ln", "log", "log10", "lower", "ltrim", "max", "min", "mod", "nth_value",
    "ntile", "nullif", "percent_rank", "pow", "power", "rank", "replace", "round", "row_number", "rtrim", "sign",
    "sqrt", "strftime", "substr", "substring", "sum", "time", "total", "trim", "typeof", "unicode", "unixepoch",
    "upper",
})  # fmt: skip
_LIMITS = {
    resource.RLIMIT_AS: MEMORY_BYTES_MAX,
    resource.RLIMIT_CPU: CPU_SECONDS_MAX + 1,
    resource.RLIMIT_NOFILE: 3,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_NPROC: 0,
    resource.RLIMIT_CORE: 0,
}
_SQLITE_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 20,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_SWITCHES = {
    sqlite3.SQLITE_DBCONFIG_DEFENSIVE: True,
    sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA: False,
    sqlite3.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: False,
    sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER: False,
    sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW: False,
    sqlite3.SQLITE_DBCONFIG_DQS_DML: False,
}
_PRAGMAS = ("temp_store = MEMORY", f"hard_heap_limit = {HEAP_BYTES_MAX}", "trusted_schema = OFF", "query_only = ON")
_STEPS = 20_000
"""SQLite's steps between two checks of the CPU time: about a millisecond."""
_FAULTS = {
    sqlite3.SQLITE_INTERRUPT: f"the query needs more than {CPU_SECONDS_MAX} s; use fewer rows or simpler joins",
    sqlite3.SQLITE_NOMEM: "the query needs more than 128 MB of memory; use fewer rows or simpler joins",
    sqlite3.SQLITE_TOOBIG: "the query or a value in it is too long; a value has at most 1,000,000 bytes",
}


class Authorizer:
    """Decides each action of a statement while SQLite compiles it. `fault` describes the denied action."""

    def __init__(self, tables: frozenset[str]) -> None:
        self.tables, self.fault = tables, ""

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        # A table of which no column is read has an empty column name; it may be a subquery of WITH.
        if action == sqlite3.SQLITE_READ and (first in self.tables or not second):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and str(second).lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        self.fault = _describe(action, first, second)
        return sqlite3.SQLITE_DENY


def _describe(action: int, first: str | None, second: str | None) -> str:
    match action:
        case sqlite3.SQLITE_FUNCTION:
            return f"the function `{second}` is not allowed; the functions are {', '.join(sorted(FUNCTIONS))}"
        case sqlite3.SQLITE_RECURSIVE:
            return "recursive queries are not allowed; a query of WITH must not use itself"
        case sqlite3.SQLITE_READ:
            return f"the table `{first}` cannot be read; only data sets and subqueries can"
        case _:
            return "the statement is not read-only; only one SELECT statement is allowed"


def open_database(images: Mapping[str, bytes], authorizer: Authorizer) -> sqlite3.Connection:
    """Return a connection that can only read the images."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    for number, image in enumerate(images.values()):
        database.execute(f"ATTACH ':memory:' AS data{number}")
        database.deserialize(image, name=f"data{number}")
    for switch, value in _SWITCHES.items():
        database.setconfig(switch, value)
    for pragma in _PRAGMAS:
        database.execute(f"PRAGMA {pragma}")
    for limit, most in _SQLITE_LIMITS.items():
        database.setlimit(limit, most)
    database.text_factory = lambda raw: raw.decode(errors="replace")
    database.set_progress_handler(lambda: time.process_time() > CPU_SECONDS_MAX, _STEPS)
    database.set_authorizer(authorizer)
    return database


def read_rows(cursor: sqlite3.Cursor, bytes_max: int) -> dict[str, Any]:
    """Return the first rows of a result, at most `ROWS_MAX` and `bytes_max` as JSON."""
    columns = [description[0] for description in cursor.description]
    rows: list[list[Any]] = []
    left = bytes_max - len(json.dumps(columns, ensure_ascii=False).encode())
    for found in cursor:
        row = [_plain(value) for value in found]
        left -= len(json.dumps(row, ensure_ascii=False).encode()) + 1
        if left < 0 and not rows:
            return {"fault": f"a row of the result has more than {bytes_max} bytes; select fewer or shorter columns"}
        if len(rows) == ROWS_MAX or left < 0:
            return {"columns": columns, "rows": rows, "truncated": True}
        rows.append(row)
    return {"columns": columns, "rows": rows, "truncated": False}


def _plain(value: Any) -> Any:
    """Return a value as JSON: bytes become hexadecimal digits, and an infinite number becomes null."""
    if isinstance(value, bytes):
        return value.hex()
    return None if value in (float("inf"), float("-inf")) else value


def run(sql: str, images: Mapping[str, bytes], bytes_max: int) -> dict[str, Any]:
    """Return the result of a query, or `fault`."""
    authorizer = Authorizer(frozenset(images))
    try:
        with closing(open_database(images, authorizer)) as database:
            return read_rows(database.execute(sql), bytes_max)
    except MemoryError:
        return {"fault": _FAULTS[sqlite3.SQLITE_NOMEM]}
    except UnicodeEncodeError:
        return {"fault": "the query contains a lone surrogate, which is not valid text"}
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return {"fault": authorizer.fault or _FAULTS.get(code) or f"SQLite: {error}"[:FAULT_LENGTH_MAX]}


def limit_process() -> None:
    """Set the limits of the operating system: memory, CPU time, no further files, no file content, no processes."""
    for limit, most in _LIMITS.items():
        # The hard limit of the CPU time is higher, because the kernel checks it first and then kills without a reason.
        resource.setrlimit(limit, (most, most + 1 if limit == resource.RLIMIT_CPU else most))


def main() -> None:
    """Limit the process, read the query, and write its result."""
    limit_process()
    header = json.loads(sys.stdin.buffer.readline())
    images = {name: sys.stdin.buffer.read(size) for name, size in header["sizes"].items()}
    sys.stdout.buffer.write(json.dumps(run(header["sql"], images, header["bytes_max"])).encode())


if __name__ == "__main__":
    main()
