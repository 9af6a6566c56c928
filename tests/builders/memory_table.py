"""A tenant's table in memory, with plain Python values, for model tests with thousands of steps.

The table evaluates only the expressions that `ItemUpdate` and the stores build. It raises `ExpressionInvalid` for any
other expression, for overlapping paths, for unused values and names, and for expressions larger than 4 kB.
tests/unit/quotas/test_memory_table.py compares the table with moto. If `intercept` is set, the table passes each call
to this function, as `tests.builders.wires.intercepted` does for a client.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, cast

from atrium.kernel.errors import ConditionFailed
from atrium.kernel.ids import TenantId
from atrium.kernel.pagination import Page
from atrium.storage.keys import Key
from atrium.storage.table import PhysicalTable, PlatformTable, Query, TenantTable, TransactionRefused
from atrium.storage.writes import Delete, Operation, Put, Update, Write

from tests.builders.gateway import TENANT_ID

type Item = dict[str, Any]
type Intercept = Callable[[str, Callable[[], Any]], Any]

TENANT = TenantId(TENANT_ID)
EXPRESSION_BYTES_MAX = 4_096
_TOKEN = re.compile(r"\s*(<>|<=|>=|[()<>=,]|[:#]?[\w.#]+)")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "<>": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


class ExpressionInvalid(Exception):
    """Raised for an expression that is invalid in DynamoDB or that this table does not support."""


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


@lru_cache(maxsize=10_000)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(text))


@dataclass
class Evaluator:
    """An evaluator of expressions on one item. It reads only the state of the item before the write."""

    item: Mapping[str, Any]
    names: Mapping[str, str]
    values: Mapping[str, Any]
    used: set[str] = field(default_factory=set)
    _tokens: Sequence[str] = ()
    _at: int = 0

    def holds(self, condition: str) -> bool:
        if not condition:
            return True
        self._begin(condition)
        answer = self._any()
        if self._at != len(self._tokens):
            raise ExpressionInvalid(f"{condition!r} at {self._tokens[self._at :]}")
        return answer

    def apply(self, expression: str) -> Item:
        """Return the item that results from an update expression."""
        self._begin(expression)
        changes: dict[tuple[str, ...], Any] = {}
        parents: set[tuple[str, ...]] = set()
        clause = ""
        while self._at < len(self._tokens):
            if self._next_token() in {"SET", "ADD", "REMOVE"}:
                clause = self._next()
            else:
                self._expect(",")
            path = self._path(self._next())
            ways = {path[:length] for length in range(1, len(path) + 1)}
            if path in parents or not ways.isdisjoint(changes):
                raise ExpressionInvalid(f"paths overlap at {path}: {expression}")
            parents |= ways
            changes[path] = self._change(clause, path)
        after = dict(self.item)
        for path, value in changes.items():
            _write(after, path, value)
        return after

    def _change(self, clause: str, path: tuple[str, ...]) -> Any:
        match clause:
            case "SET":
                self._expect("=")
                return _copied(self._operand())
            case "ADD":
                before = self._read(path)
                more = self._operand()
                if isinstance(more, set | frozenset):
                    return set(more) if before is ABSENT else before | more
                return more if before is ABSENT else before + more
            case "REMOVE":
                return ABSENT
        raise ExpressionInvalid(clause)

    def _any(self) -> bool:
        answer = self._all()
        while self._next_token() == "OR":
            self._next()
            answer = self._all() or answer
        return answer

    def _all(self) -> bool:
        answer = self._one()
        while self._next_token() == "AND":
            self._next()
            answer = self._one() and answer
        return answer

    def _one(self) -> bool:
        if self._next_token() == "(":
            self._next()
            answer = self._any()
            self._expect(")")
            return answer
        if self._next_token() in {"attribute_exists", "attribute_not_exists", "begins_with", "contains"}:
            return self._predicate(self._next())
        left = self._operand()
        comparator = self._next()
        if comparator == "BETWEEN":
            low = self._operand()
            self._expect("AND")
            high = self._operand()
            return left is not ABSENT and low <= left <= high
        if comparator not in _COMPARE:
            raise ExpressionInvalid(f"comparator {comparator}")
        right = self._operand()
        if ABSENT in (left, right):
            return comparator == "<>"
        return _COMPARE[comparator](left, right)

    def _predicate(self, name: str) -> bool:
        self._expect("(")
        path = self._read(self._path(self._next()))
        if name == "begins_with":
            self._expect(",")
            start = self._operand()
            self._expect(")")
            return isinstance(path, str) and path.startswith(start)
        if name == "contains":
            self._expect(",")
            member = self._operand()
            self._expect(")")
            return path is not ABSENT and member in path
        self._expect(")")
        return (path is not ABSENT) is (name == "attribute_exists")

    def _operand(self) -> Any:
        token = self._next()
        if token == "size":
            self._expect("(")
            value = self._operand()
            self._expect(")")
            return ABSENT if value is ABSENT else len(value)
        if token == "if_not_exists":
            self._expect("(")
            value = self._operand()
            self._expect(",")
            other = self._operand()
            self._expect(")")
            return other if value is ABSENT else value
        if token.startswith(":"):
            self.used.add(token[1:])
            return self.values[token[1:]]
        return self._read(self._path(token))

    def _read(self, path: tuple[str, ...]) -> Any:
        value: Any = self.item
        for part in path:
            value = value.get(part, ABSENT) if isinstance(value, Mapping) else ABSENT
        return value

    def _path(self, token: str) -> tuple[str, ...]:
        parts = token.split(".")
        if any(part in {"size", "(", ")"} or part.startswith(":") for part in parts):
            raise ExpressionInvalid(f"no path: {token}")
        return tuple(self._name(part) for part in parts)

    def _name(self, part: str) -> str:
        if not part.startswith("#"):
            return part
        self.used.add(part)
        return self.names.get(part[1:], part[1:])

    def _begin(self, text: str) -> None:
        if len(text.encode()) > EXPRESSION_BYTES_MAX:
            raise ExpressionInvalid(f"an expression of {len(text)} characters")
        self._tokens, self._at = _tokens(text), 0

    def _next_token(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._next_token()
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise ExpressionInvalid(f"{token} expected in {self._tokens}, at {self._at - 1}")


def _copied(value: Any) -> Any:
    match value:
        case dict():
            return {name: _copied(each) for name, each in value.items()}
        case list() | tuple():
            return [_copied(each) for each in value]
    return value


def _write(item: Item, path: tuple[str, ...], value: Any) -> None:
    place = item
    for part in path[:-1]:
        if not isinstance(place.get(part), dict):
            raise ExpressionInvalid(f"no map at {path}")
        place[part] = place = dict(place[part])
    if value is ABSENT:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = value


class MemoryTable(TenantTable):
    """A tenant table that stores the items of one tenant in memory.

    A write copies the item and the maps that it changes, so the results of earlier reads stay the same.
    """

    def __init__(self, tenant_id: TenantId = TENANT) -> None:
        super().__init__(PhysicalTable(cast("Any", None), "memory"), tenant_id)
        self.items: dict[Key, Item] = {}
        self.intercept: Intercept | None = None
        self.on_store: Callable[[Key, Item, Item], None] | None = None
        self.calls: list[str] = []

    def get(self, key: Key) -> Item | None:
        return self._call("get", lambda: self._found(key))

    def batch_get(self, keys: Iterable[Key], *, consistent: bool = True) -> dict[Key, Item]:
        wanted = list(dict.fromkeys(keys))
        assert len(wanted) <= 100
        return self._call("batch_get", lambda: {key: found for key in wanted if (found := self._found(key))})

    def query(self, query: Query) -> Page[Item]:
        return self._call("query", lambda: self._query(query))

    def write(self, write: Write) -> Item:
        return self._call("write", lambda: self._write(write))

    def delete_all(self, keys: Sequence[Key]) -> None:
        for key in keys:
            self._call("delete_all", partial(self.items.pop, key, None))

    def transact(self, operations: Sequence[Operation], *, token: str | None = None) -> None:
        self._call("transact", lambda: self._transact(operations))

    def _call[Answer](self, name: str, send: Callable[[], Answer]) -> Answer:
        self.calls.append(name)
        return cast("Answer", self.intercept(name, send)) if self.intercept else send()

    def _found(self, key: Key) -> Item | None:
        item = self.items.get(key)
        return None if item is None else {**item, "pk": self._partition(key.partition), "sk": key.sort}

    def _write(self, write: Write) -> Item:
        after = self._evaluate(write)
        if isinstance(after, _Absent):
            raise ConditionFailed(self._found(write.key))
        self._store(write.key, after)
        if isinstance(write, Delete) or (isinstance(write, Update) and not write.returns):
            return {}
        return self._found(write.key) or {}

    def _transact(self, operations: Sequence[Operation]) -> None:
        keys = [each.key for each in operations]
        assert len(set(keys)) == len(keys) <= 100
        results = [self._evaluate(each) for each in operations]
        failed = frozenset(at for at, after in enumerate(results) if isinstance(after, _Absent))
        if failed:
            raise TransactionRefused(failed)
        for each, after in zip(operations, results, strict=True):
            self._store(each.key, cast("Item | None", after))

    def _store(self, key: Key, item: Item | None) -> None:
        if self.on_store:
            self.on_store(key, self.items.get(key, {}), item or {})
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = item

    def _evaluate(self, operation: Operation) -> Item | _Absent | None:
        """Return the item after an operation. Return None if no item remains, or `ABSENT` if the condition fails."""
        before = self.items.get(operation.key)
        names = operation.names if isinstance(operation, Update) else {}
        keyed = (
            {}
            if before is None
            else {**before, "pk": self._partition(operation.key.partition), "sk": operation.key.sort}
        )
        evaluator = Evaluator(keyed, names, operation.values)
        if not evaluator.holds(operation.condition):
            return ABSENT
        match operation:
            case Put():
                after: Item | None = {
                    name: _copied(value) for name, value in operation.item.items() if value is not None
                }
            case Update():
                after = evaluator.apply(operation.expression)
                after.pop("pk", None)
                after.pop("sk", None)
            case Delete():
                after = None
            case _:
                after = before
        unused = {f":{name}" for name in operation.values} - {f":{name}" for name in evaluator.used}
        unused |= {f"#{name}" for name in names} - evaluator.used
        if unused:
            raise ExpressionInvalid(f"nothing uses {unused} in {operation}")
        return after

    def _query(self, query: Query) -> Page[Item]:
        assert query.index is None, "not known here"
        assert query.between is None, "not known here"
        sorts = sorted((key.sort for key in self.items if key.partition == query.partition), reverse=query.newest_first)
        start = query.position["sk"] if query.position else query.after
        later = [each for each in sorts if not start or (each < start if query.newest_first else each > start)]
        wanted = [each for each in later if each.startswith(query.prefix)]
        page, rest = wanted[: query.limit], wanted[query.limit :]
        found = [self._found(Key(query.partition, each)) or {} for each in page]
        kept = [item for item in found if Evaluator(item, {}, query.values).holds(query.where)]
        return Page(kept, {"pk": query.partition, "sk": page[-1]} if rest else None)


class MemoryPlatform(PlatformTable):
    """A platform table that stores the operator's items in memory, and evaluates expressions like `MemoryTable`."""

    def __init__(self) -> None:
        super().__init__(PhysicalTable(cast("Any", None), "memory"))
        self.memory = MemoryTable()

    def batch_get(self, keys: Iterable[Key], *, consistent: bool = True) -> dict[Key, Item]:
        return self.memory.batch_get(keys, consistent=consistent)

    def write(self, write: Write) -> Item:
        return self.memory.write(write)
