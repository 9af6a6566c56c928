"""Google, GitHub and Slack on 127.0.0.1, as far as signing in and connecting go: each answers in its own way.

Consent is given at once. Codes and, where `rotates` is set, refresh tokens are good once, as they are there.
"""

from infra.local.oauth_provider.accounts import Account
from infra.local.oauth_provider.server import OAuthProvider, running

__all__ = ["Account", "OAuthProvider", "running"]
