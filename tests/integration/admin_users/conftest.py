"""The admin function as for keys, and the users that an administrator makes."""

from typing import Any

from starlette.testclient import TestClient

from tests.integration.admin_keys.conftest import House, client, house

__all__ = ["House", "client", "create", "house"]

MEMBERS = {
    *("id", "email", "role", "name", "status", "last_login_at", "limits", "time_zone", "language", "preferences"),
    *("created_at", "updated_at"),
}
PASSWORD = "a password of hers"


def create(client: TestClient, email: str = "ann@acme.example", **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/users", json={"email": email, "role": "user", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"].endswith(f"/v1/users/{made['id']}")
    return made
