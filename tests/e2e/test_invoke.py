"""`make invoke` with a running local stack: the built function uses the stack's table and secrets."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

from infra.runtime.seed import TENANT_KEY
from tests.e2e.conftest import ROOT, Stack


def invoke(function: str, case: str) -> dict[str, Any]:
    event = Path("tests/events") / function / f"{case}.json"
    command = ["make", "invoke", f"FUNCTION={function}", f"EVENT={event}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "invoke: on the local stack" in done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_invoked_chat_is_in_the_stack(stack: Stack) -> None:
    answer = invoke("chat", "answer")
    assert answer["statusCode"] == 200, answer["body"]
    run_id = json.loads(answer["body"])["run_id"]
    headers = {"authorization": f"Bearer {TENANT_KEY}"}
    read = httpx.get(f"{stack.base_url}/v1/runs/{run_id}", headers=headers, timeout=300)
    assert read.status_code == 200, read.text
    assert read.json()["status"] == "succeeded"


def test_invoked_authorizer_knows_the_stacks_pepper(stack: Stack) -> None:
    answer = invoke("authorizer", "key")
    assert answer["context"]["tenant_name"] == "events"
