"""The steps of a sign-in in a browser or an app."""

from typing import Any

from atrium.identity.social.state import challenge_of
from starlette.testclient import TestClient

from tests.integration.social.conftest import ApiEnv

VERIFIER = "a-verifier-of-forty-three-characters-or-more-0"


def begin(api_env: ApiEnv, name: str = "google", browser: TestClient | None = None, **query: Any) -> Any:
    """Start a sign-in. Return the response.

    If `browser` is given, its cookie is bound to the sign-in. Otherwise, the request contains a `code_challenge`.
    """
    wanted = {"tenant": api_env.tenant.tenant.id, **query}
    if browser is None:
        wanted.setdefault("code_challenge", challenge_of(VERIFIER))
    client = browser or api_env.anyone()
    return client.get(f"/v1/auth/{name}/authorize", params=wanted, follow_redirects=False)


def come_back(api_env: ApiEnv, name: str = "google", **query: Any) -> dict[str, str]:
    """Start a sign-in and consent. Return the parameters of the provider's redirect."""
    answer = begin(api_env, name, **query)
    assert answer.status_code == 302, answer.text
    return api_env.consent(answer.headers["location"])


def complete(
    api_env: ApiEnv, back: dict[str, str], name: str = "google", verifier: str | None = VERIFIER, **query: Any
) -> Any:
    sent = {**back, **({"code_verifier": verifier} if verifier is not None else {}), **query}
    return api_env.anyone().get(f"/v1/auth/{name}/callback", params=sent)
