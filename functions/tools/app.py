"""The tools function: built-in tools, HTTP tools and routing rules of a tenant.

It is separate from the admin function, because a test call needs a tenant's secrets and makes outbound calls. Routing
rules are here, because the admin function has the maximum number of routes.
"""

from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.tools import routing_rules, tools


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    return create_app(title="Tools and routing rules", routers=[tools.router, routing_rules.router], runtime=source)


app = build()
handler = make_handler(app)
