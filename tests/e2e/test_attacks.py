"""Invalid credentials over HTTP. Every call returns the same error and is not counted.

Rejected credentials that name a tenant are recorded in the audit of the tenant.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from atrium.settings import Settings
from atrium.storage.secrets import Secrets, SigningKey

from infra.runtime.resources import Endpoint
from tests.builders.attacks import Forger
from tests.e2e.conftest import Stack
from tests.e2e.limited import PASSWORD, Limited, made_tenant
from tests.e2e.waiting import wait_for


def read_signing_key(stack: Stack, kid: str) -> SigningKey:
    client = Endpoint(stack.description["endpoint_url"]).client("secretsmanager")
    for secret in client.list_secrets()["SecretList"]:
        settings = Settings.read({"SIGNING_SECRET_ARN": secret["ARN"]})
        if "signing" in secret["Name"].lower():
            found = Secrets(settings, client=client).find_signing_key(kid)
            if found is not None:
                return found
    raise AssertionError("no secret has the key that signed")


def log_in(stack: Stack, tenant: Limited) -> str:
    name = tenant.http.get("/v1/auth/me").json()["tenant"]["name"]
    body = {"email": f"admin@{name}.example", "password": PASSWORD, "tenant": tenant.id}
    answer = httpx.post(f"{stack.base_url}/v1/auth/login", json=body, timeout=300)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def refused(tenant: Limited, since: datetime) -> dict[str, dict[str, Any]]:
    """Return the events of rejected credentials in the tenant's audit, by user agent."""
    query = {"type": "auth.refuse", "from": since.isoformat(), "limit": "100"}
    answer = tenant.http.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return {event["user_agent"]: event for event in answer.json()["data"]}


def check_refused(answer: httpx.Response, name: str) -> None:
    assert answer.status_code == 401, f"{name}: {answer.text}"
    assert answer.json()["code"] == "UNAUTHENTICATED", name
    assert answer.headers["www-authenticate"].startswith("Bearer"), name


def test_every_forgery_of_a_token(stack: Stack) -> None:
    with made_tenant(stack) as tenant:
        token = log_in(stack, tenant)
        assert httpx.get(f"{stack.base_url}/v1/sessions", headers={"authorization": f"Bearer {token}"}).is_success
        forger = Forger(token, read_signing_key(stack, Forger.kid_of(token)))
        before, since = tenant.used("requests_per_day"), datetime.now(UTC) - timedelta(seconds=1)
        attacks = list(forger.attacks())
        for at, attack in enumerate(attacks):
            headers = {"authorization": f"Bearer {attack.text}", "user-agent": f"attack {at}"}
            answer = httpx.post(f"{stack.base_url}/v1/chat", json={"message": "hi"}, headers=headers, timeout=300)
            check_refused(answer, attack.name)
        named = {f"attack {at}" for at, attack in enumerate(attacks) if attack.names_tenant}
        events = wait_for(lambda: found if (found := refused(tenant, since)).keys() >= named else None, 20, "audit")
        assert set(events) == named
        assert all(event["details"]["code"] == "UNAUTHENTICATED" for event in events.values())
        for attack in attacks:
            assert all(part[:40] not in str(events) for part in attack.text.split(".") if len(part) >= 40)
        assert tenant.used("requests_per_day") == before


def test_keys_and_headers(stack: Stack) -> None:
    with made_tenant(stack) as tenant:
        made = tenant.http.post("/v1/keys", json={"name": "short-lived"}).json()
        tenant.http.post(f"/v1/keys/{made['id']}/revoke", json={}).raise_for_status()
        since, key = datetime.now(UTC) - timedelta(seconds=1), tenant.key
        changed = key[:-1] + ("A" if key[-1] != "A" else "B")
        cases: list[tuple[str, list[tuple[str, str]]]] = [
            ("two", [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")]),
            ("two that differ", [("authorization", f"Bearer {key}"), ("x-api-key", changed)]),
            ("one letter changed", [("x-api-key", changed)]),
            ("a key with SQL", [("x-api-key", "atr_dev_' OR 1=1 --")]),
            ("revoked", [("x-api-key", made["key"])]),
        ]
        for name, headers in cases:
            answer = httpx.get(f"{stack.base_url}/v1/sessions", headers=[*headers, ("user-agent", name)], timeout=300)
            check_refused(answer, name)
        events = wait_for(lambda: refused(tenant, since) or None, 20, "the audit has the revoked key")
        assert set(events) == {"revoked"}
        assert events["revoked"]["details"]["key"] == made["id"]
        assert made["key"][-20:] not in str(events)
