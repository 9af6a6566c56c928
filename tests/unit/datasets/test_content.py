"""The content of data sets: types of columns, and the line of what is wrong."""

import sqlite3
from contextlib import closing

import pytest
from atrium.datasets.content import COLUMNS_MAX, ROWS_MAX, read_content
from atrium.datasets.image import build_image
from atrium.datasets.model import DatasetFormat
from atrium.kernel.errors import ValidationFailed


@pytest.mark.parametrize(
    ("cells", "type", "values"),
    [
        (["1", "-20", "0"], "integer", [1, -20, 0]),
        (["1", "", "3"], "integer", [1, None, 3]),
        (["1", "2.5", "-1e3"], "number", [1.0, 2.5, -1000.0]),
        (["true", "FALSE"], "boolean", [True, False]),
        (["007", "1"], "text", ["007", "1"]),
        (["12345678901234567890"], "text", ["12345678901234567890"]),
        (["1e999"], "text", ["1e999"]),
        (["nan"], "text", ["nan"]),
        (["1_000"], "text", ["1_000"]),
        (["١"], "text", ["١"]),
        ([" 1"], "text", [" 1"]),
        (["true", "1"], "text", ["true", "1"]),
        (["2026-11-29"], "text", ["2026-11-29"]),
        (["=1+1", "@SUM(x)", '"=HYPERLINK(""x"")"'], "text", ["=1+1", "@SUM(x)", '=HYPERLINK("x")']),
        (['"a\nb"', '"x,y"'], "text", ["a\nb", "x,y"]),
    ],
)
def test_types_of_csv(cells: list[str], type: str, values: list[object]) -> None:
    content = read_content("csv", "\ufeffid,given\r\n" + "".join(f"1,{cell}\r\n" for cell in cells))
    assert (content.columns[1].type, list(content.values[1]), content.row_count) == (type, values, len(cells))


@pytest.mark.parametrize(
    ("values", "type", "stored"),
    [
        (["1", "null", "-3"], "integer", [1, None, -3]),
        (["1", "2.5"], "number", [1.0, 2.5]),
        (["true", "false"], "boolean", [True, False]),
        (['"a"', "null"], "text", ["a", None]),
        (['"a"', "1", "true"], "text", ["a", "1", "true"]),
        (["9223372036854775808"], "text", ["9223372036854775808"]),
        (["null"], "text", [None]),
    ],
)
def test_types_of_json_lines(values: list[str], type: str, stored: list[object]) -> None:
    content = read_content("jsonl", "\n".join(f'{{"given": {value}}}' for value in values))
    assert (content.columns[0].type, list(content.values[0])) == (type, stored)


def test_missing_members_are_null_and_blank_lines_are_skipped() -> None:
    content = read_content("jsonl", '{"a": 1}\n\n{"b": "x"}\n')
    assert [(column.name, column.type) for column in content.columns] == [("a", "integer"), ("b", "text")]
    assert [list(values) for values in content.values] == [[1, None], [None, "x"]]
    assert read_content("csv", "a\n\n1\n\n").row_count == 1
    assert read_content("csv", "a,b\n").row_count == 0


@pytest.mark.parametrize(
    ("format", "content", "message"),
    [
        ("csv", "a,b\n1,2\n1\n", r"line 3 has 1 fields, but the header has 2"),
        ("csv", "a,b\n1,2,3\n", r"line 2 has 3 fields"),
        ("csv", "\n1\n", r"line 1 brings the number of columns to 0"),
        ("csv", ",".join(f"c{at}" for at in range(COLUMNS_MAX + 1)), r"number of columns to 101"),
        ("csv", "a,A\n1,2\n", r'line 1 has the column name "A" twice'),
        ("csv", "a,\n1,2\n", r'line 1 has the column name ""'),
        ("csv", f"{'n' * 65}\n1\n", r"1 to 64 visible characters"),
        ("csv", "a,b\u202e\n1,2\n", r"visible characters"),
        ("csv", 'a\n"x\n', r"is not valid CSV"),
        ("csv", 'a\n"x"y\n', r"line 2 is not valid CSV"),
        ("csv", f"a\n{'x' * 140_000}\n", r"line 2 is not valid CSV"),
        ("csv", "a\n1\n\0\n", r"line 3 contains a character that is not valid text"),
        ("csv", "a\n\ud800\n", r"line 2 contains a character"),
        ("csv", "a\n" + "1\n" * (ROWS_MAX + 1), r"line 50002 is row 50001; at most 50000 rows"),
        ("jsonl", "", r"has no members"),
        ("jsonl", "{}\n{}", r"has no members"),
        ("jsonl", '{"a": 1}\n{"a": ', r"line 2 is not valid JSON"),
        ("jsonl", '{"a": 1} {"a": 2}', r"line 1 is not valid JSON"),
        ("jsonl", "[1]", r"line 1 is not a JSON object"),
        ("jsonl", '{"a": {"b": 1}}', r'line 1 has an object or array as the value of "a"'),
        ("jsonl", '{"a": []}', r"must not be nested"),
        ("jsonl", '{"a": 1, "a": 2}', r"two members with the same name"),
        ("jsonl", '{"a": 1}\n{"A": 2}', r'line 2 has the column name "A" twice'),
        ("jsonl", '{"a": NaN}', r"not a finite number"),
        ("jsonl", '{"a": 1e999}', r"not a finite number"),
        ("jsonl", '{"a": "\\u0000"}', r"not valid text"),
        ("jsonl", '{"a": "\\ud800"}', r"not valid text"),
        ("jsonl", '{"\\ud800": 1}', r"visible characters"),
        ("jsonl", '{"a": ' + "[" * 100_000, r"line 1 is not valid JSON"),
        ("jsonl", '{"a": ' + "9" * 5_000 + "}", r"line 1 is not valid JSON"),
    ],
)
def test_names_the_line_that_is_wrong(format: DatasetFormat, content: str, message: str) -> None:
    with pytest.raises(ValidationFailed, match=message) as raised:
        read_content(format, content)
    raised.value.detail.encode()


def test_an_image_has_one_table_whatever_the_names_of_columns_are() -> None:
    content = read_content(
        "csv", 'a"); DROP TABLE t; --,select,größe (€)\n1,2,3\n'.replace('a"', '"a""').replace("--", '--"')
    )
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(build_image("order", content))
        assert database.execute('SELECT * FROM "order"').fetchall() == [(1, 2, 3)]
        assert database.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)
