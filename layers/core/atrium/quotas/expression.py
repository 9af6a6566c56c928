"""An update that is put together piece by piece: what it changes, and what must still be so for it to apply."""

from collections.abc import Mapping
from typing import Any

from atrium.storage.keys import Key
from atrium.storage.writes import Update


class Expression:
    """Builds one `Update`. Paths are attribute names, or `slots.<name>` for an entry of a map.

    Every name is sent under a short alias: an expression may have 4 kB.
    """

    def __init__(self) -> None:
        self._sets: list[str] = []
        self._adds: dict[str, int] = {}
        self._removes: list[str] = []
        self._conditions: list[str] = []
        self._values: dict[str, Any] = {}
        self._aliases: dict[str, str] = {}
        self._same: set[str] = set()

    def set(self, path: str, value: object) -> None:
        self._sets.append(f"{self._quoted(path)} = {self._value(value)}")

    def set_if_absent(self, attribute: str, value: object) -> None:
        name = self._quoted(attribute)
        self._sets.append(f"{name} = if_not_exists({name}, {self._value(value)})")

    def add(self, attribute: str, amount: int) -> None:
        """Add to a number, which begins at 0; amounts for the same attribute are summed."""
        self._adds[attribute] = self._adds.get(attribute, 0) + amount

    def remove(self, path: str) -> None:
        self._removes.append(self._quoted(path))

    def require_equal(self, path: str, value: object) -> None:
        self._conditions.append(f"{self._quoted(path)} = {self._value(value)}")

    def require_present(self, path: str) -> None:
        self._conditions.append(f"attribute_exists({self._quoted(path)})")

    def require_absent(self, path: str) -> None:
        self._conditions.append(f"attribute_not_exists({self._quoted(path)})")

    def require_absent_or(self, attribute: str, value: object) -> None:
        """Require that an attribute has a value, if it is there at all."""
        name = self._quoted(attribute)
        self._conditions.append(f"(attribute_not_exists({name}) OR {name} = {self._value(value)})")

    def require_same(self, attribute: str, item: Mapping[str, Any] | None) -> None:
        """Require that an attribute is as it was read, or still absent; asking twice is asking once."""
        if item is None or attribute not in item:
            condition = f"attribute_not_exists({self._quoted(attribute)})"
        elif attribute in self._same:
            return
        else:
            self._same.add(attribute)
            condition = f"{self._quoted(attribute)} = {self._value(item[attribute])}"
        if condition not in self._conditions:
            self._conditions.append(condition)

    def require_between(self, path: str, least: int, most: int) -> None:
        self._conditions.append(f"{self._quoted(path)} BETWEEN {self._value(least)} AND {self._value(most)}")

    def require_at_most(self, attribute: str, most: int) -> None:
        """Require that a counter is not above a bound; one that does not exist counts as 0."""
        name = self._quoted(attribute)
        below = f"{name} <= {self._value(most)}"
        self._conditions.append(below if most < 0 else f"(attribute_not_exists({name}) OR {below})")

    def require_at_least(self, attribute: str, least: int) -> None:
        """Require that a number is there and not below a bound."""
        self._conditions.append(f"{self._quoted(attribute)} >= {self._value(least)}")

    def require_fewer(self, mapping: str, bound: int) -> None:
        """Require that a map has fewer entries than a bound."""
        self._conditions.append(f"size({self._quoted(mapping)}) < {self._value(bound)}")

    def require_within(self, mapping: str, attribute: str, *, room: bool) -> None:
        """Require that a map has no more entries than an attribute says, or with room for one more."""
        self._conditions.append(f"size({self._quoted(mapping)}) {'<' if room else '<='} {self._quoted(attribute)}")

    def update(self, key: Key) -> Update:
        adds = [f"{self._quoted(name)} {self._value(amount)}" for name, amount in self._adds.items() if amount]
        clauses = (("SET", self._sets), ("ADD", adds), ("REMOVE", self._removes))
        text = " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses if parts)
        names = {alias: attribute for attribute, alias in self._aliases.items()}
        return Update(key, text, " AND ".join(self._conditions), self._values, names)

    def _value(self, value: object) -> str:
        name = f"v{len(self._values)}"
        self._values[name] = dict(value) if isinstance(value, Mapping) else value
        return f":{name}"

    def _quoted(self, path: str) -> str:
        return ".".join(f"#{self._aliases.setdefault(part, f'n{len(self._aliases)}')}" for part in path.split("."))
