"""What a route asks of its caller, read from its own dependencies: a credential, scopes, and what policies call it."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi.dependencies.models import Dependant

from atrium.http.dependencies import RequiredScope, get_call


@dataclass(frozen=True, slots=True)
class Access:
    """`scopes` are those that the caller must hold, empty where any credential will do."""

    scopes: tuple[str, ...]


def read_access(dependant: Dependant) -> Access | None:
    """Return what a route asks for, by the dependencies that it has; None for a public one."""
    calls = [found.call for found in _walk(dependant)]
    scopes = tuple(dict.fromkeys(call.scope for call in calls if isinstance(call, RequiredScope)))
    return Access(scopes) if scopes or get_call in calls else None


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from _walk(inner)
