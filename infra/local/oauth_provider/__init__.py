"""Emulates Google, GitHub and Slack on 127.0.0.1, for sign-in and connections, with each provider's response format.

The fourth provider, `/oidc`, is an issuer that a tenant can register as an identity provider. `POST /oidc/token` with
the form field `audience` returns a token.

Consent is granted immediately. A code can be used only once. If `rotates` is true, a refresh token can also be used
only once.
"""

from infra.local.oauth_provider.accounts import Account
from infra.local.oauth_provider.server import OAuthProvider, running

__all__ = ["Account", "OAuthProvider", "running"]
