"""The two steps of an OAuth flow with a provider.

First, the browser is redirected to the provider with an encrypted state. Then, the provider redirects the browser back
with the state and a code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from atrium.egress.client import EgressClient
from atrium.identity.social.descriptions import Description, Purpose
from atrium.identity.social.exchange import Grant, ProviderCalls, refused_by
from atrium.identity.social.model import ClientCredentials, SocialClient
from atrium.identity.social.state import FlowState, StateSealer, challenge_of, use_state
from atrium.kernel.errors import Malformed
from atrium.storage.table import TenantTable

CODE_MAX = 2_048


@dataclass(frozen=True, slots=True)
class Returned:
    """The parameters of the provider's redirect: a code or an error."""

    code: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """An OAuth authorization flow (sign-in or connection) of one OAuth client with one provider."""

    description: Description
    client: SocialClient
    client_id: str
    open_credentials: Callable[[], ClientCredentials]
    sealer: StateSealer
    egress: EgressClient

    def authorize_url(self, state: FlowState) -> tuple[str, str]:
        """Return the URL for the browser, and the encrypted state that the URL contains."""
        sealed = self.sealer.seal(state)
        endpoints = self.description.endpoints(state.purpose)
        connecting = state.purpose == "connect"
        scopes = self.client.connection_scopes if connecting and self.client.connection_scopes else endpoints.scopes
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": state.redirect_uri,
            endpoints.scope_parameter: endpoints.scope_separator.join(scopes),
            "state": sealed,
            "code_challenge": challenge_of(self.sealer.verifier(state)),
            "code_challenge_method": "S256",
            **endpoints.parameters,
        }
        if self.description.keys:
            query["nonce"] = self.sealer.id_nonce(state)
        return f"{endpoints.authorize}?{urlencode(query)}", sealed

    def redeem(self, table: TenantTable, text: str, state: FlowState, returned: Returned) -> Grant:
        """Mark the state as used, and return the tokens for the code.

        Raises `ProviderRefused` if the provider returned an error or the code is invalid, `StateInvalid` if the state
        was used before, and `Malformed` if the redirect contains neither a code nor an error.
        """
        if not returned.error and not returned.code:
            raise Malformed("The redirect must contain the parameter `code` or `error`")
        calls = self.calls(state.purpose)
        use_state(table, text, state)
        if returned.error:
            raise refused_by(returned.error)
        return calls.exchange_code(returned.code, redirect_uri=state.redirect_uri, verifier=self.sealer.verifier(state))

    def calls(self, purpose: Purpose) -> ProviderCalls:
        """Return a `ProviderCalls` object for a purpose. Decrypts the client secret."""
        return ProviderCalls(self.egress, self.description.endpoints(purpose), self.open_credentials())
