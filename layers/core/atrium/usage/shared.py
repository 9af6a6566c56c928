"""How the sums of a day lie in items: one that is shared, and one for each value of the other groups.

The shared item has the figures of all calls under their names, a string set `names` (`MODEL#claude-haiku-5-5`), and
figures of each name as `<hash of the name><position of the figure>`, so that ADD works. It takes new names until it has
`NAMES_MAX`; others get items of their own. Readers add both up, and look for own items of a group only where the
shared figures of the group are less than those of all calls. So items of the layout before, one for each name, count.
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
"""Some 2.3 kB, six units a write: what the three items of total, model and agent would cost. It may get twice as many,
when one batch brings many new names."""


def place(
    sums: Mapping[SumKey, Figures], apart: Set[date] = frozenset()
) -> tuple[dict[date, dict[SumKey, Figures]], dict[SumKey, Figures]]:
    """Divide sums into those of each day's shared item and those with items of their own.

    The most used names are shared; none beyond `NAMES_MAX`, and none of the days that are `apart`.
    """
    shared: dict[date, dict[SumKey, Figures]] = {}
    own: dict[SumKey, Figures] = {}
    for key, figures in sorted(sums.items(), key=lambda each: (each[0].group != "TOTAL", -each[1].requests)):
        inside = shared.setdefault(key.day, {})
        is_shared = key.group in SHARED and key.day not in apart and len(inside) <= NAMES_MAX
        (inside if key.group == "TOTAL" or is_shared else own)[key] = figures
    return shared, own


def write_shared(sums: Mapping[SumKey, Figures]) -> dict[str, Any]:
    """Return the attributes of the shared item that has these sums of one day."""
    attributes: dict[str, Any] = {}
    for key, figures in sums.items():
        names = FIGURES if key.group == "TOTAL" else _attributes(_name(key))
        attributes |= {name: value for name, value in zip(names, asdict(figures).values(), strict=True) if value}
    names = names_of(sums)
    return {**attributes, "names": set(names)} if names else attributes


def read_item(place: Key, item: Mapping[str, Any]) -> dict[SumKey, Figures]:
    """Return the sums of an item: one, or all that a shared item has."""
    day = day_of_place(place)
    sums = {_sum_of(day, place.sort): read_figures(item)}
    for name in item.get("names", ()):
        values = (int(item.get(attribute, 0)) for attribute in _attributes(name))
        sums[_sum_of(day, name)] = Figures(*values)
    return sums


def read_figures(item: Mapping[str, Any]) -> Figures:
    """Return the figures that an item has under their names."""
    return Figures(*(int(item.get(name, 0)) for name in FIGURES))


def _sum_of(day: date, sort: str) -> SumKey:
    group, _, value = sort.partition("#")
    return SumKey(day, cast("Group", group), value)


def day_of_place(key: Key) -> date:
    """Return the day of an item."""
    return date.fromisoformat(key.partition.rpartition("#")[2])


def names_of(sums: Iterable[SumKey]) -> list[str]:
    """Return the names of sums that share an item with the total."""
    return [_name(key) for key in sums if key.group != "TOTAL"]


def _attributes(name: str) -> list[str]:
    """Return the attributes of a name's figures: sixty bits of its hash, so that they are short and differ."""
    short = urlsafe_b64encode(sha256(name.encode()).digest())[:10].decode()
    return [f"{short}{position}" for position in range(len(FIGURES))]


def _name(key: SumKey) -> str:
    return f"{key.group}#{key.value}"
