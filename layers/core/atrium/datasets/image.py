"""Converts the content of a data set to an SQLite image with one table, which loads without being parsed again."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing

from atrium.datasets.content import Content
from atrium.datasets.model import ColumnType

_DECLARED: Mapping[ColumnType, str] = {"integer": "INTEGER", "number": "REAL", "text": "TEXT", "boolean": "INTEGER"}


def build_image(name: str, content: Content) -> bytes:
    """Return the image of a database whose only table has this name."""
    declared = ", ".join(f"{_quote(column.name)} {_DECLARED[column.type]}" for column in content.columns)
    places = ", ".join("?" * len(content.columns))
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE TABLE {_quote(name)} ({declared})")
        database.executemany(f"INSERT INTO {_quote(name)} VALUES ({places})", zip(*content.values, strict=True))  # noqa: S608 - quoted
        database.commit()
        return database.serialize()


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
