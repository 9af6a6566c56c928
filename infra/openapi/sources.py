"""Reads the OpenAPI documents of the functions that serve HTTP."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from fastapi import FastAPI

FUNCTIONS = ("admin", "chat", "console", "identity", "platform", "sessions", "tools", "usage")


def read_documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each function's name and document. Does not call AWS or read environment variables."""
    for name in FUNCTIONS:
        module = import_module(f"functions.{name}.app")
        app = module.app
        if not isinstance(app, FastAPI):
            raise TypeError(f"functions.{name}.app.app is not a FastAPI application")
        yield name, app.openapi()
