"""Google, GitHub and Slack on 127.0.0.1, for sign-in and connections, each with its own response format.

A fourth one, `/oidc`, is an issuer that a tenant can register as its own identity provider: `POST /oidc/token` with
the form field `audience` answers a token.

Consent is granted immediately. Codes can be used once; so can refresh tokens if `rotates` is set.
"""

from infra.local.oauth_provider.accounts import Account
from infra.local.oauth_provider.server import OAuthProvider, running

__all__ = ["Account", "OAuthProvider", "running"]
