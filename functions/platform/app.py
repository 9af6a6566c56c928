"""The platform function: the operator's routes for tenants, limits, counter rebuilds and signing keys."""

from atrium.bootstrap import RuntimeSource
from atrium.bootstrap import runtime as process_runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.platform import deletion, limits, rebuild, signing_keys, tenants


def build(runtime: RuntimeSource = process_runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    routers = [tenants.router, deletion.router, limits.router, rebuild.router, signing_keys.router]
    return create_app(title="Atrium platform", routers=routers, runtime=runtime)


app = build()
handler = make_handler(app)
