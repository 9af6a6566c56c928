"""The calls that an answer costs, noted at the SDK's door: their number tells what a clock would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.isolation.permissions import Permission, needed


@dataclass
class Recording:
    """The operations that were made, in the order in which they went out, and the permissions that they need."""

    operations: list[str] = field(default_factory=list)
    needed: set[Permission] = field(default_factory=set)


@contextmanager
def recording(*clients: Any) -> Iterator[Recording]:
    """Note the operations of these clients while the block lasts."""
    noted = Recording()

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        noted.operations.append(model.name)
        noted.needed |= set(needed(model.service_model.service_name, model.name, params))

    for client in clients:
        client.meta.events.register("before-parameter-build", note)
    try:
        yield noted
    finally:
        for client in clients:
            client.meta.events.unregister("before-parameter-build", note)
