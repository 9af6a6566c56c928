"""A sign-in as a browser and an app go through it."""

from typing import Any

from atrium.identity.social.state import challenge_of
from starlette.testclient import TestClient

from tests.integration.social.conftest import Stage

VERIFIER = "a-verifier-of-forty-three-characters-or-more-0"


def begin(stage: Stage, name: str = "google", browser: TestClient | None = None, **query: Any) -> Any:
    """Ask where to go; with `code_challenge` unless a browser is given, which is bound by its cookie."""
    wanted = {"tenant": stage.tenant.tenant.id, **query}
    if browser is None:
        wanted.setdefault("code_challenge", challenge_of(VERIFIER))
    client = browser or stage.anyone()
    return client.get(f"/v1/auth/{name}/authorize", params=wanted, follow_redirects=False)


def come_back(stage: Stage, name: str = "google", **query: Any) -> dict[str, str]:
    """Begin and consent, and return what the browser is sent back with."""
    answer = begin(stage, name, **query)
    assert answer.status_code == 302, answer.text
    return stage.consent(answer.headers["location"])


def complete(
    stage: Stage, back: dict[str, str], name: str = "google", verifier: str | None = VERIFIER, **query: Any
) -> Any:
    sent = {**back, **({"code_verifier": verifier} if verifier is not None else {}), **query}
    return stage.anyone().get(f"/v1/auth/{name}/callback", params=sent)
