"""Parses a query with sqlglot: one SELECT, and only tables that the caller may read.

sqlglot is a parser of Python, so a deeply nested query ends in a `RecursionError` and not in a crash. It tries joins
without a condition in several ways, in a time that doubles with each join, so `_BoundedParser` limits its steps.
"""

from collections.abc import Collection

from sqlglot import TokenType, exp, tokenize
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.sqlite import SQLiteParser

from atrium.kernel.errors import ValidationFailed, invalid_field, list_valid

TABLES_MAX = 10
STEPS_MAX = 60_000
_DIALECT = "sqlite"
_ALLOWED = "only one SELECT statement is allowed, which may begin with WITH"
_WRITES = (exp.DML, exp.DDL, exp.Command, exp.Into)


class _TooComplex(Exception):
    """The parser has made `STEPS_MAX` steps. It is no error of sqlglot, because the parser handles those itself."""


class _BoundedParser(SQLiteParser):
    """A parser that ends after `STEPS_MAX` moves from a token to another."""

    steps_left = STEPS_MAX

    def _advance(self, times: int = 1) -> None:
        self.steps_left -= 1
        if self.steps_left < 0:
            raise _TooComplex
        super()._advance(times)


def find_tables(sql: str, readable: Collection[str]) -> list[str]:
    """Return the tables that a query uses, sorted; raise `ValidationFailed` if it is not one SELECT over `readable`."""
    tree = _parse(sql)
    if not isinstance(tree, exp.Select | exp.SetOperation) or any(tree.find_all(*_WRITES)):
        raise _refusal(f"the statement is not read-only; {_ALLOWED}")
    defined = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    used: set[str] = set()
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise _refusal("functions are not allowed in FROM; use tables and subqueries")
        name = table.name.lower()
        if table.db or name not in {*readable, *defined}:
            raise _refusal(f"unknown table `{_shown(table)}`; {_describe(readable)}")
        if name in readable:
            used.add(name)
    if len(used) > TABLES_MAX:
        raise _refusal(f"the query uses {len(used)} data sets; at most {TABLES_MAX} are allowed")
    return sorted(used)


def _parse(sql: str) -> exp.Expr:
    try:
        tokens = tokenize(sql, read=_DIALECT)
        _check_kinds([token.token_type for token in tokens])
        tree = _BoundedParser(dialect=_DIALECT).parse(tokens, sql)[0]
    except RecursionError as error:
        raise _refusal("the query is nested too deeply; use fewer parentheses and subqueries") from error
    except _TooComplex as error:
        raise _refusal("the query is too complex; use fewer joins, and give each join a condition") from error
    except SqlglotError as error:
        fault = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
        where = f" near line {fault['line']}, column {fault['col']}" if fault.get("line") else ""
        raise _refusal(f"is not valid SQL{where}; {_ALLOWED}") from error
    if tree is None:
        raise _refusal(_ALLOWED)
    return tree


def _check_kinds(kinds: list[TokenType]) -> None:
    """Check the first token and the number of statements before parsing, because sqlglot logs other statements.

    Semicolons at the end are allowed.
    """
    while kinds and kinds[-1] == TokenType.SEMICOLON:
        kinds.pop()
    if not kinds or kinds[0] not in (TokenType.SELECT, TokenType.WITH):
        raise _refusal(_ALLOWED)
    if TokenType.SEMICOLON in kinds:
        raise _refusal(f"there are several statements; {_ALLOWED}")


def _shown(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)[:100]


def _describe(readable: Collection[str]) -> str:
    return f"the tables are {list_valid(sorted(readable))}" if readable else "there are no data sets that you may read"


def _refusal(text: str) -> ValidationFailed:
    return invalid_field("sql", text)
