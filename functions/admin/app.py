"""The admin function: one router for each resource that tenant administrators manage."""

from atrium.bootstrap import RuntimeSource
from atrium.bootstrap import runtime as process_runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.admin import agents, audit, clients, identity_providers, keys, policies, settings, users


def build(runtime: RuntimeSource = process_runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    nouns = [users, keys, clients, agents, policies, identity_providers, settings, audit]
    return create_app(title="Atrium administration", routers=[noun.router for noun in nouns], runtime=runtime)


app = build()
handler = make_handler(app)
