"""Tests of the running product with unmodified client libraries: `oauth4webapi`, `openid-client` and the MCP SDK."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import Stack, Tenant

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
CALLBACK = "http://127.0.0.1:9/callback"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")

type Run = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the test scripts and the installed libraries of the lock file."""
    made = tmp_path_factory.mktemp("oauth")
    for file in [*HERE.glob("*.mjs"), *HERE.glob("package*.json")]:
        shutil.copy(file, made)
    subprocess.run(INSTALL, cwd=made, check=True, capture_output=True, timeout=120)
    return made


@pytest.fixture
def run(folder: Path, stack: Stack, pro: Tenant) -> Run:
    """Return a function that runs the OAuth flows of a library with new clients."""
    person = next(each for each in stack.description["tenants"] if each["id"] == pro.id)["admin"]
    given = {
        "issuer": stack.base_url,
        "person": person,
        "confidential": {**make_client(pro, "confidential"), "redirect_uri": CALLBACK},
        "open": {**make_client(pro, "public"), "redirect_uri": CALLBACK},
    }

    def run_library(name: str) -> dict[str, Any]:
        done = subprocess.run(
            ["node", "run.mjs", name], cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found | {"client_id": given["confidential"]["client_id"], "person": person["email"]}

    return run_library


def make_client(tenant: Tenant, kind: str) -> dict[str, str]:
    grants = ["authorization_code", "refresh_token", *(["client_credentials"] if kind == "confidential" else [])]
    body = {
        "name": f"a {kind} program",
        "type": kind,
        "grant_types": grants,
        "redirect_uris": [CALLBACK],
        "scopes": ["chat", "sessions:read", "sessions:write"],
    }
    answer: httpx.Response = tenant.http.post("/v1/clients", json=body)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    return {"client_id": found["client_id"], "client_secret": found["client_secret"] or ""}


@pytest.fixture
def at_the_root(stack: Stack) -> None:
    """Skip the test if the stack has a stage prefix.

    RFC 9728 inserts the metadata path between the host and the path, so the server must be at the root of a domain.
    """
    if urlsplit(stack.base_url).path:
        pytest.skip("the standard's address of this document is not below the stage")


@pytest.mark.usefixtures("at_the_root")
def test_oauth4webapi(run: Run, stack: Stack, pro: Tenant) -> None:
    found = run("oauth4webapi")
    assert found["authorization_servers"] == [stack.base_url]
    assert (found["client_credentials_basic"], found["client_credentials_post"]) == ("chat", "chat")
    assert found["email"] == found["person"]
    assert (found["me"]["principal"]["type"], found["me"]["tenant"]["id"]) == ("user", pro.id)
    assert found["me"]["scopes"] == ["chat"]
    assert (found["reused"], found["after_reuse"]) == ("invalid_grant", "invalid_grant")
    assert (found["revocation"], found["after_revocation"]) == ("revoked", "invalid_grant")
    assert (found["code_again"], found["after_code_again"]) == ("invalid_grant", "invalid_grant")


def test_openid_client(run: Run, stack: Stack) -> None:
    found = run("openid-client")
    assert (found["issuer"], found["client_credentials"]) == (stack.base_url, "chat")
    assert (found["introspection"]["active"], found["introspection"]["sub"]) == (True, found["client_id"])
    assert found["introspection_after_revocation"] == {"active": False}
    assert found["subject"].startswith("usr_")
    assert (found["reused"], found["after_reuse"]) == ("invalid_grant", "invalid_grant")


@pytest.mark.usefixtures("at_the_root")
@pytest.mark.parametrize("kind", ["confidential", "open"])
def test_mcp_sdk(run: Run, stack: Stack, pro: Tenant, kind: str) -> None:
    found = run("mcp")[kind]
    assert (found["begun"], found["ended"], found["again"]) == ("REDIRECT", "AUTHORIZED", "AUTHORIZED")
    assert found["resource"] == stack.base_url
    assert (found["me"]["principal"]["type"], found["me"]["tenant"]["id"]) == ("user", pro.id)
    assert found["asked"] == found["scope"] == "chat sessions:read sessions:write"
    assert found["refreshed"]
