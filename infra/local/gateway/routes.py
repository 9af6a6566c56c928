"""Finds the route of a request.

API Gateway chooses the resource first. It prefers a literal segment to a parameter, and a parameter to a greedy
parameter. If the resource does not have the request's method, a matching resource that ends with a greedy parameter and
has the method is used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from infra.local.gateway.api import Route


@dataclass(frozen=True)
class Match:
    """A route and the decoded values of its path parameters."""

    route: Route
    parameters: dict[str, str]


def match_route(routes: Iterable[Route], method: str, path: str) -> Match | None:
    """Return the route and path parameters of a request, or None for an unknown path or method."""
    segments = [segment for segment in path.split("/") if segment]
    found: dict[str, tuple[tuple[int, ...], dict[str, str]]] = {}
    by_resource: dict[str, dict[str, Route]] = {}
    for route in routes:
        by_resource.setdefault(route.resource, {})[route.method] = route
    for resource in by_resource:
        if (fit := _fit(resource, segments)) is not None:
            found[resource] = fit
    ranked = sorted(found, key=lambda resource: found[resource][0])
    for position, resource in enumerate(ranked):
        if method in by_resource[resource] and (position == 0 or resource.endswith("+}")):
            return Match(by_resource[resource][method], found[resource][1])
    return None


def _fit(resource: str, segments: list[str]) -> tuple[tuple[int, ...], dict[str, str]] | None:
    """Return the rank and the path parameters of a resource, or None if the resource does not match.

    The resource with the lowest rank is the most specific.
    """
    parts = [part for part in resource.split("/") if part]
    rank: list[int] = []
    parameters: dict[str, str] = {}
    for index, part in enumerate(parts):
        if index >= len(segments):
            return None
        if part.startswith("{") and part.endswith("+}"):
            parameters[part[1:-2]] = unquote("/".join(segments[index:]))
            return (*rank, 2), parameters
        if part.startswith("{"):
            parameters[part[1:-1]] = unquote(segments[index])
            rank.append(1)
        elif part == segments[index]:
            rank.append(0)
        else:
            return None
    return (tuple(rank), parameters) if len(parts) == len(segments) else None
