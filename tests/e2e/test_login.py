"""Users on the running stack: the seeded admin logs in, chats and invites a user, who also logs in and chats."""

from typing import Any

import httpx

from tests.e2e.conftest import Stack


def _call(stack: Stack, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, f"{stack.base_url}{path}", headers=headers, timeout=300, **options)


def _log_in(stack: Stack, number: int = 0) -> dict[str, Any]:
    admin = stack.description["tenants"][number]["admin"]
    answer = _call(stack, "POST", "/v1/auth/login", json=admin)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_seeded_admin_logs_in_and_chats(stack: Stack) -> None:
    login = _log_in(stack)
    me = _call(stack, "GET", "/v1/auth/me", login["access_token"]).json()
    assert (me["principal"]["id"], me["role"]) == (login["user"]["id"], "admin")
    assert me["tenant"]["id"] == stack.description["tenants"][0]["id"]
    answer = _call(stack, "POST", "/v1/chat", login["access_token"], json={"message": "Hello"})
    assert answer.status_code == 200, answer.text
    refreshed = _call(stack, "POST", "/v1/auth/refresh", json={"refresh_token": login["refresh_token"]})
    assert refreshed.status_code == 200, refreshed.text


def test_an_invited_user_logs_in_and_chats(stack: Stack) -> None:
    admin = _log_in(stack)["access_token"]
    body = {"email": "invited@acme.example", "role": "user"}
    made = _call(stack, "POST", "/v1/users", admin, json=body)
    assert made.status_code == 201, made.text
    accepted = _call(
        stack,
        "POST",
        "/v1/auth/invitations/accept",
        json={"token": made.json()["invite_token"], "password": "her own 123"},
    )
    assert accepted.status_code == 200, accepted.text
    token = accepted.json()["access_token"]
    assert _call(stack, "POST", "/v1/chat", token, json={"message": "Hello"}).status_code == 200
    assert _call(stack, "GET", "/v1/users", token).json()["code"] == "SCOPE_REQUIRED"
    removed = _call(stack, "DELETE", f"/v1/users/{made.json()['id']}", admin)
    assert removed.status_code == 204, removed.text


def test_a_wrong_password_is_a_problem(stack: Stack) -> None:
    admin = stack.description["tenants"][1]["admin"]
    answer = _call(stack, "POST", "/v1/auth/login", json={**admin, "password": "not it at all"})
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
