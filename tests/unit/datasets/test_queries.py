"""Queries: what is allowed, and hostile statements against each barrier: the parser, the authorizer, the process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from atrium.datasets import sandbox, worker
from atrium.datasets.model import QueryResult
from atrium.datasets.sandbox import execute
from atrium.datasets.sql import TABLES_MAX, find_tables
from atrium.kernel.errors import Unavailable, ValidationFailed

from tests.builders.datasets import image_of, many_rows

IMAGES = {"orders": image_of("orders"), "lines": image_of("lines", many_rows(3_000))}
EXPLODING = "SELECT count(*) FROM lines a, lines b, lines c, lines d WHERE a.id + b.id = c.id + d.id"


def query(sql: str, bytes_max: int = 200_000) -> QueryResult:
    """Execute a query as the service does."""
    return execute(sql, {name: IMAGES[name] for name in find_tables(sql, IMAGES)}, bytes_max)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT 1;", [[1]]),
        ("SELECT city, sum(amount) FROM orders GROUP BY city ORDER BY 2 DESC", [["Rome", 140.0], ["Oslo", 80.0]]),
        ("select count(*) from ORDERS -- ; a comment", [[3]]),
        ("/* one */ WITH r AS (SELECT * FROM orders WHERE city = 'Rome') SELECT count(*) FROM r", [[2]]),
        ("SELECT city FROM orders UNION SELECT 'Bonn' ORDER BY 1", [["Bonn"], ["Oslo"], ["Rome"]]),
        ("SELECT count(*) FROM orders o JOIN lines l ON l.id = o.amount", [[1]]),
        ("SELECT paid FROM orders WHERE city LIKE 'o%'", [[0]]),
        ("SELECT city, row_number() OVER (ORDER BY amount) FROM orders LIMIT 1", [["Rome", 1]]),
        ("SELECT ';', 1 / 0, 9e999, x'00ff', CAST(x'ff' AS TEXT)", [[";", None, None, "00ff", "\ufffd"]]),
    ],
)
def test_answers(sql: str, rows: list[list[object]]) -> None:
    assert query(sql).rows == rows


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "only one SELECT"),
        (";", "only one SELECT"),
        ("INSERT INTO orders VALUES ('x', 1, 1)", "only one SELECT"),
        ("UPDATE orders SET amount = 0", "only one SELECT"),
        ("DELETE FROM orders", "only one SELECT"),
        ("DROP TABLE orders", "only one SELECT"),
        ("CREATE TABLE t AS SELECT 1", "only one SELECT"),
        ("REPLACE INTO orders SELECT * FROM orders", "only one SELECT"),
        ("ATTACH 'other.db' AS other", "only one SELECT"),
        ("VACUUM INTO 'copy.db'", "only one SELECT"),
        ("PRAGMA writable_schema = ON", "only one SELECT"),
        ("EXPLAIN SELECT 1", "only one SELECT"),
        ("BEGIN", "only one SELECT"),
        ("VALUES (1)", "only one SELECT"),
        ("SELECT 1; DELETE FROM orders", "several statements"),
        ("SELECT 1; -- x\n DELETE FROM orders", "several statements"),
        ("SELECT 1 /* ; */ ; /* */ SELECT 2", "several statements"),
        ("WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d", "not read-only"),
        ("WITH d AS (SELECT 1) INSERT INTO orders SELECT * FROM d", "not read-only"),
        ("SELECT * INTO copy FROM orders", "not read-only"),
        ("SELECT * FROM salaries", "unknown table `salaries`; the tables are `lines`, `orders`"),
        ("SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM salaries)", "unknown table `salaries`"),
        ("SELECT * FROM main.orders", r"unknown table `main\.orders`"),
        ("SELECT * FROM sqlite_schema", "unknown table `sqlite_schema`"),
        ("SELECT * FROM pragma_table_info('orders')", "functions are not allowed in FROM"),
        ("SELECT * FROM generate_series(1, 1000000000)", "functions are not allowed in FROM"),
        ("SELECT * FROM json_each('[1]')", "functions are not allowed in FROM"),
        ("SELECT " + ", ".join(f"(SELECT 1 FROM t{at})" for at in range(TABLES_MAX + 1)), "at most 10"),
        ("SELECT 'unclosed", "not valid SQL"),
        ("SELECT sum(", "not valid SQL near line 1"),
        ("SELECT " + "(" * 3_000, "nested too deeply"),
        ("SELECT " + "(SELECT " * 1_000 + "1" + ")" * 1_000, "nested too deeply"),
        ("SELECT 1 FROM orders" + " JOIN orders" * 30, "too complex"),
        ("SELECT 1 FROM orders" + " JOIN (SELECT 1) t" * 30, "too complex"),
        ("SELECT 1 FROM orders" + " LEFT JOIN orders" * 12 + f" JOIN (SELECT {'1, ' * 3_000} 1) t", "too complex"),
        ("SELECT " + "NOT (" * 1_000 + "1" + ")" * 1_000, "nested too deeply"),
    ],
)
def test_the_parser_refuses(sql: str, message: str) -> None:
    readable = {*IMAGES, *(f"t{at}" for at in range(TABLES_MAX + 1))} if "t10" in sql else set(IMAGES)
    with pytest.raises(ValidationFailed, match=message):
        find_tables(sql, readable)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM orders", "not read-only"),
        ("CREATE TABLE t (a)", "not read-only"),
        ("CREATE TEMP TABLE t (a)", "not read-only"),
        ("ATTACH ':memory:' AS other", "not read-only"),
        ("DETACH data0", "not read-only"),
        ("PRAGMA query_only = OFF", "not read-only"),
        ("VACUUM INTO 'copy.db'", "not read-only"),
        ("SAVEPOINT s", "not read-only"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT * FROM sqlite_schema", "`sqlite_master` cannot be read"),
        ("SELECT 1 IN sqlite_schema", "`sqlite_master` cannot be read"),
        ("SELECT * FROM pragma_database_list", "not read-only"),
        ("SELECT load_extension('x')", "function `load_extension` is not allowed; the functions are abs, avg"),
        ("SELECT fts3_tokenizer('simple')", "function `fts3_tokenizer`"),
        ("SELECT randomblob(1000000000)", "function `randomblob`"),
        ("SELECT zeroblob(1000000000)", "function `zeroblob`"),
        ("SELECT printf('%1000000000d', 1)", "function `printf`"),
        ("SELECT sqlite_version()", "function `sqlite_version`"),
        ("SELECT readfile('/etc/passwd')", "no such function"),
        ("SELECT writefile('x', 'x')", "no such function"),
        ("SELECT price FROM orders", "no such column: price"),
        ('SELECT * FROM orders WHERE city = "Rome"', "no such column: Rome"),
        ("SELECT ?1", "SQLite: "),
        ("SELECT '\0'", "SQLite: "),
        ("SELECT '\ud800'", "lone surrogate"),
        ("WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT * FROM t", "recursive"),
        ("WITH t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t) SELECT * FROM t", "recursive"),
        ("SELECT replace(hex, 'a', hex) FROM (SELECT replace(x, 'a', x) AS hex FROM (SELECT replace("
         f"'{'a' * 400}', 'a', '{'a' * 400}') AS x))", "too long"),
        ("SELECT " + "+".join("1" * 200), "SQLite: "),
        (" UNION ALL ".join(["SELECT 1"] * 30), "SQLite: "),
        (f"SELECT replace('{'x' * 200}', 'x', a.label) AS x FROM lines a, lines b ORDER BY x, b.id", "128 MB"),
    ],
)  # fmt: skip
def test_the_process_refuses(sql: str, message: str) -> None:
    with pytest.raises(ValidationFailed, match=message):
        execute(sql, IMAGES, 200_000)


def test_a_result_is_bounded_by_rows_and_bytes() -> None:
    found = query("SELECT * FROM lines")
    assert (len(found.rows), found.truncated) == (1_000, True)
    found = query("SELECT * FROM lines LIMIT 1000")
    assert (len(found.rows), found.truncated) == (1_000, False)
    found = query("SELECT id FROM lines", bytes_max=100)
    assert found.truncated
    assert found.rows == [[number] for number in range(len(found.rows))]
    assert 10 < len(found.rows) < 30
    with pytest.raises(ValidationFailed, match="a row of the result has more than 10 bytes"):
        query("SELECT replace('aaaa', 'a', label) FROM lines", bytes_max=10)


def test_a_query_ends_after_its_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CPU_SECONDS_MAX", time.process_time() + 0.05)
    assert "needs more than" in worker.run(EXPLODING, IMAGES, 1_000)["fault"]


def test_a_process_is_killed_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "SECONDS_MAX", 0.3)
    with pytest.raises(ValidationFailed, match="took longer than"):
        query(EXPLODING)


def test_a_process_that_does_not_work_is_no_fault_of_the_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_WORKER", Path("/nowhere/worker.py"))
    with pytest.raises(Unavailable):
        query("SELECT 1")


@pytest.mark.parametrize(
    ("attempt", "failure"),
    [
        ("open('/etc/passwd')", "OSError: [Errno 24]"),
        ("__import__('socket').socket()", "OSError: [Errno 24]"),
        ("bytearray(300_000_000)", "MemoryError"),
        ("exec('while True: pass')", ""),
    ],
)
def test_the_operating_system_limits_the_process(attempt: str, failure: str) -> None:
    folder = str(Path(worker.__file__).parent)
    code = f"""
import resource, socket, sys
sys.path.insert(0, {folder!r})
import worker
worker._LIMITS[resource.RLIMIT_CPU] = 0
worker.limit_process()
{attempt}
"""
    if failure:
        code = code.replace("worker._LIMITS[resource.RLIMIT_CPU] = 0\n", "")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert failure in done.stderr


def test_the_process_imports_only_the_standard_library() -> None:
    for line in Path(worker.__file__).read_text().splitlines():
        if line.startswith(("import ", "from ")):
            assert line.split()[1].partition(".")[0] in sys.stdlib_module_names
