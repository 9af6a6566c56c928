"""The tools function: built-in tools, HTTP tools, routing rules, prompts and model keys of a tenant.

It is separate from the admin function, because a test call needs a tenant's secrets, and because the test of a tool and
the check of a model key make outbound calls. Routing rules and prompts are here, because the admin function has the
maximum number of routes.
"""

from atrium.bootstrap import RuntimeSource, runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.tools import model_keys, prompts, routing_rules, tools


def build(source: RuntimeSource = runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    routers = [tools.router, routing_rules.router, prompts.router, model_keys.router]
    return create_app(title="Tools, routing rules, prompts and model keys", routers=routers, runtime=source)


app = build()
handler = make_handler(app)
