"""The identity function: logins, sign-in, connections, OAuth server, the caller's identity and public signing keys."""

from atrium.bootstrap import RuntimeSource
from atrium.bootstrap import runtime as process_runtime
from atrium.http.app import create_app
from atrium.http.handler import make_handler
from fastapi import FastAPI

from functions.identity import (
    connections,
    login,
    logins,
    me,
    oauth_authorize,
    oauth_metadata,
    oauth_token,
    signing_keys,
    social,
    unlocking,
)


def build(runtime: RuntimeSource = process_runtime) -> FastAPI:
    """Return the FastAPI application. Tests pass a test runtime."""
    routers = [
        *(login.router, logins.router, social.router, me.router),
        *(connections.router, signing_keys.router, unlocking.router),
        *(oauth_authorize.router, oauth_token.router, oauth_metadata.router),
    ]
    return create_app(title="Atrium identity", routers=routers, runtime=runtime)


app = build()
handler = make_handler(app)
