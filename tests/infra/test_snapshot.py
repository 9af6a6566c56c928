"""The state of chat and authorizer after init, which SnapStart copies to every environment.

This state must not contain unique values or open resources.
"""

import subprocess
import sys

import pytest

from infra.runtime.template import ROOT

# Init of chat includes the adapter's readiness request.
CHAT = """
from starlette.testclient import TestClient
from functions.chat.app import app
assert TestClient(app).get("/v1/health").status_code == 200
"""
AUTHORIZER = "import functions.authorizer.app\n"
# Copies of the state of `random` produce the same numbers. Clients of the model SDK and of AWS contain credentials.
LOOK = """
import gc, os, random, socket, sys, threading
random.seed(1)
untouched = random.getstate()
{init}
found = [f"{{type(item).__module__}}.{{type(item).__name__}}" for item in gc.get_objects()]
secrets = [name for name in found if name in ("atrium.storage.secrets.Pepper", "atrium.storage.secrets.SigningKey")]
clients = [name for name in found if name.startswith(("botocore.client.", "botocore.credentials."))
           or name.endswith((".Anthropic", ".AnthropicBedrock"))]
sockets = [item for item in gc.get_objects() if isinstance(item, socket.socket) and item.fileno() >= 0
           and item.family != socket.AF_UNIX]
print(secrets, clients, sockets, [thread.name for thread in threading.enumerate()], random.getstate() == untouched)
"""


@pytest.mark.parametrize("init", [CHAT, AUTHORIZER], ids=["chat", "authorizer"])
def test_a_snapshot_holds_nothing_unique_or_connected(init: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", "ATRIUM_ENVIRONMENT": "dev", "TABLE_NAME": "table", "LOG_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(init=init)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "[] [] [] ['MainThread'] True"
