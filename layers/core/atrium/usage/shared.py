"""Stores the usage aggregates of a day in items: one shared item, and one item per value of the other groups.

The shared item contains the total of all calls in attributes with the field names of `Figures`, a string set `names`
(such as `MODEL#claude-haiku-5-5`), and the usage of each name in attributes `<hash of the name><index of the figure>`,
which ADD can update. After `NAMES_MAX` names, each further name has a separate item. A reader adds shared and separate
usage. Separate items, and items of the previous layout, are read only if a group's shared usage is below the total.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict
from datetime import date
from hashlib import sha256
from typing import Any, cast

from atrium.storage.keys import Key
from atrium.usage.model import FIGURES, Figures, Group, SumKey

SHARED: frozenset[Group] = frozenset({"MODEL", "AGENT", "TOOL"})
NAMES_MAX = 24
"""Maximum number of names in a shared item (2.3 kB, six write units). A batch can exceed it by a factor of two."""


def divide_sums(
    sums: Mapping[SumKey, Figures], unshared_days: Set[date] = frozenset()
) -> tuple[dict[date, dict[SumKey, Figures]], dict[SumKey, Figures]]:
    """Divide aggregates into those for each day's shared item (on `unshared_days` only the total) and the others."""
    shared: dict[date, dict[SumKey, Figures]] = {}
    own: dict[SumKey, Figures] = {}
    for key, figures in sorted(sums.items(), key=lambda each: (each[0].group != "TOTAL", -each[1].requests)):
        inside = shared.setdefault(key.day, {})
        is_shared = key.group in SHARED and key.day not in unshared_days and len(inside) <= NAMES_MAX
        (inside if key.group == "TOTAL" or is_shared else own)[key] = figures
    return shared, own


def write_shared(sums: Mapping[SumKey, Figures]) -> dict[str, Any]:
    """Return the attributes of a shared item that contains these aggregates of one day."""
    attributes: dict[str, Any] = {}
    for key, figures in sums.items():
        names = FIGURES if key.group == "TOTAL" else _attributes(_name(key))
        attributes |= {name: value for name, value in zip(names, asdict(figures).values(), strict=True) if value}
    names = names_of(sums)
    return {**attributes, "names": set(names)} if names else attributes


def read_item(key: Key, item: Mapping[str, Any]) -> dict[SumKey, Figures]:
    """Return the aggregates of an item: one aggregate, or several if it is a shared item."""
    day = day_of_key(key)
    sums = {_sum_of(day, key.sort): read_figures(item)}
    for name in item.get("names", ()):
        values = (int(item.get(attribute, 0)) for attribute in _attributes(name))
        sums[_sum_of(day, name)] = Figures(*values)
    return sums


def read_figures(item: Mapping[str, Any]) -> Figures:
    """Return the usage stored in an item under the field names of `Figures`."""
    return Figures(*(int(item.get(name, 0)) for name in FIGURES))


def _sum_of(day: date, sort: str) -> SumKey:
    group, _, value = sort.partition("#")
    return SumKey(day, cast("Group", group), value)


def day_of_key(key: Key) -> date:
    """Return the day of an item's key."""
    return date.fromisoformat(key.partition.rpartition("#")[2])


def names_of(sums: Iterable[SumKey]) -> list[str]:
    """Return the names of the aggregates that are stored in the same item as the total."""
    return [_name(key) for key in sums if key.group != "TOTAL"]


def _attributes(name: str) -> list[str]:
    """Return the attribute names for the usage of a name. Each begins with 60 bits of the hash of the name."""
    short = urlsafe_b64encode(sha256(name.encode()).digest())[:10].decode()
    return [f"{short}{position}" for position in range(len(FIGURES))]


def _name(key: SumKey) -> str:
    return f"{key.group}#{key.value}"
