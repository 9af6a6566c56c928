"""The calls that an answer costs, noted at the SDK's door: their number tells what a clock would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Recording:
    """The operations that were made, in the order in which they went out."""

    operations: list[str] = field(default_factory=list)


@contextmanager
def recording(*clients: Any) -> Iterator[Recording]:
    """Note the operations of these clients while the block lasts."""
    noted = Recording()

    def note(model: Any, **_: object) -> None:
        noted.operations.append(model.name)

    for client in clients:
        client.meta.events.register("before-call", note)
    try:
        yield noted
    finally:
        for client in clients:
            client.meta.events.unregister("before-call", note)
