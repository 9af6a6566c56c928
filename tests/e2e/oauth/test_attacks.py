"""Manipulated tokens over HTTP are rejected like any other invalid token and are not counted."""

import base64
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack, Tenant

pytestmark = pytest.mark.slow


@pytest.fixture
def person(stack: Stack, pro: Tenant) -> dict[str, str]:
    found: dict[str, str] = next(each for each in stack.description["tenants"] if each["id"] == pro.id)["admin"]
    return found


@pytest.fixture
def login(stack: Stack, pro: Tenant, person: dict[str, str]) -> dict[str, Any]:
    answer = httpx.post(f"{stack.base_url}/v1/auth/login", json={**person, "tenant": pro.id}, timeout=300)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=="))
    return found


def forgeries(token: str, public: dict[str, str]) -> dict[str, str]:
    head_text, body_text, signature = token.split(".")
    head, body, now = read(head_text), read(body_text), int(time.time())

    def with_head(**changes: object) -> str:
        return f"{part(head | changes)}.{body_text}.{signature}"

    def with_body(**changes: object) -> str:
        return f"{head_text}.{part(body | changes)}.{signature}"

    confused = part({**head, "alg": "HS256"})
    made = {
        "nonsense": "nonsense",
        "two parts": f"{head_text}.{body_text}",
        "no signature": f"{head_text}.{body_text}.",
        "zeros": f"{head_text}.{body_text}.{part(bytes(64))}",
        "hs256": f"{confused}.{body_text}."
        + part(hmac.digest(json.dumps(public).encode(), f"{confused}.{body_text}".encode(), "sha256")),
        "the end of time": with_body(exp=now + 10**9),
        "expired": with_body(exp=now - 1),
        "not yet": with_body(nbf=now + 3_600),
        "from the future": with_body(iat=now + 3_600),
        "another issuer": with_body(iss="https://evil.example"),
        "another audience": with_body(aud="https://evil.example"),
        "another tenant": with_body(tenant_id="ten_01k6r5m2x8f3v9q4w7t1y0z5zz"),
        "another user": with_body(sub="usr_01k6r5m2x8f3v9q4w7t1y0z5zz"),
        "more scopes": with_body(scope="platform admin"),
        "another type": with_head(typ="JWT"),
        "jku": with_head(jku="http://127.0.0.1:9/keys"),
        "x5u": with_head(x5u="http://127.0.0.1:9/keys"),
        "ten thousand characters": "x" * 10_000,
    }
    for algorithm in ("none", "None", "nOnE"):
        made[f"alg {algorithm}"] = f"{part({**head, 'alg': algorithm})}.{body_text}."
    for kid in ("../../dev/null", "' OR 1=1 --", "unknown", "", f"{head['kid']}/..", "x" * 10_000):
        made[f"kid {kid[:20]}"] = with_head(kid=kid)[:8_000]
    return made


def usage(pro: Tenant) -> object:
    answer = pro.http.get("/v1/limits")
    assert answer.status_code == 200
    return {each["name"]: each["used"] for each in answer.json()["limits"] if not each["name"].startswith("reads")}


def test_forged_tokens_are_refused_and_cost_nothing(stack: Stack, pro: Tenant, login: dict[str, Any]) -> None:
    public = httpx.get(f"{stack.base_url}/.well-known/jwks.json", timeout=300).json()["keys"][0]
    before = usage(pro)
    for name, text in forgeries(login["access_token"], public).items():
        answer = httpx.get(f"{stack.base_url}/v1/sessions", headers={"authorization": f"Bearer {text}"}, timeout=300)
        # A server in front of ours may reject a header that is too long.
        assert answer.status_code == 401 or (len(text) > 8_192 and answer.status_code in {400, 431}), name
        assert text not in answer.text
        if answer.status_code == 401:
            assert answer.json()["code"] == "UNAUTHENTICATED", name
            assert answer.headers["www-authenticate"] == "Bearer"
    assert usage(pro) == before
    own = {"authorization": f"Bearer {login['access_token']}"}
    assert httpx.get(f"{stack.base_url}/v1/sessions", headers=own, timeout=300).status_code == 200


def test_rejects_two_credentials(stack: Stack, pro: Tenant, login: dict[str, Any]) -> None:
    twice = [("authorization", f"Bearer {login['access_token']}"), ("authorization", f"Bearer {pro.api_key}")]
    assert httpx.get(f"{stack.base_url}/v1/sessions", headers=twice, timeout=300).status_code == 401
    differing = {"authorization": f"Bearer {login['access_token']}", "x-api-key": pro.api_key}
    assert httpx.get(f"{stack.base_url}/v1/sessions", headers=differing, timeout=300).status_code == 401


def test_a_used_refresh_token_ends_its_login(stack: Stack, login: dict[str, Any]) -> None:
    texts = [login["refresh_token"]]
    for _ in range(2):
        answer = httpx.post(f"{stack.base_url}/v1/auth/refresh", json={"refresh_token": texts[-1]}, timeout=300)
        assert answer.status_code == 200
        texts.append(answer.json()["refresh_token"])
    for text in (texts[0], texts[-1]):
        answer = httpx.post(f"{stack.base_url}/v1/auth/refresh", json={"refresh_token": text}, timeout=300)
        assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")


def test_rotates_signing_keys(stack: Stack, login: dict[str, Any]) -> None:
    own = {"authorization": f"Bearer {stack.description['platform_api_key']}"}
    rotated = httpx.post(f"{stack.base_url}/v1/signing-keys/rotate", headers=own, timeout=300)
    assert rotated.status_code in {200, 409}, rotated.text  # 409 if these tests already ran on this stack
    listed = httpx.get(f"{stack.base_url}/v1/signing-keys", headers=own, timeout=300).json()["data"]
    assert [key["status"] for key in listed] == ["signing", "next"]
    assert "PRIVATE" not in json.dumps(listed)
    mine = {"authorization": f"Bearer {login['access_token']}"}
    assert httpx.get(f"{stack.base_url}/v1/sessions", headers=mine, timeout=300).status_code == 200
