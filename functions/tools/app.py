"""The tools function: built-in tools and HTTP tools of a tenant.

It is separate from the admin function, because a test call needs a tenant's secrets and makes outbound calls.
"""

from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.tools import tools


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    return create_app(title="Tools", routers=[tools.router], runtime=source)


app = build()
handler = make_handler(app)
