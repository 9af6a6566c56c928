"""A recorder of the AWS calls of a request. Their number and order affect the duration of the response."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.isolation.permissions import Permission, needed


@dataclass
class Recording:
    """The recorded operations in order, and the permissions that they need."""

    operations: list[str] = field(default_factory=list)
    needed: set[Permission] = field(default_factory=set)


@contextmanager
def recording(*clients: Any) -> Iterator[Recording]:
    """Record the operations of these clients within the block."""
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
