"""The description of a running local stack, as a file and as shell variables."""

import json
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local import StartFailed
from infra.local.description import Description, render_variables
from infra.local.seed import SeededAdmin, SeededTenant

DESCRIPTION = Description(
    host_url="http://127.0.0.1:8080",
    base_url="http://127.0.0.1:8080/dev",
    platform_api_key="atr_dev_x",
    model_url="http://127.0.0.1:9",
    oauth_provider_url="http://127.0.0.1:11",
    table="atrium-table",
    endpoint_url="http://127.0.0.1:10",
    tenants=(SeededTenant("ten_1", "acme", "pro", "atr_dev_y", SeededAdmin("a@acme.example", "pw"), "agt_1"),),
)


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    DESCRIPTION.write(path)
    DESCRIPTION.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {
        "base_url": "http://127.0.0.1:8080/dev",
        "console_url": "http://127.0.0.1:8080/dev/",
        "platform_api_key": "atr_dev_x",
        "model_url": "http://127.0.0.1:9",
        "oauth_provider_url": "http://127.0.0.1:11",
        "table": "atrium-table",
        "endpoint_url": "http://127.0.0.1:10",
        "tenants": [
            {
                "id": "ten_1",
                "name": "acme",
                "plan": "pro",
                "api_key": "atr_dev_y",
                "admin": {"email": "a@acme.example", "password": "pw"},
                "agent_id": "agt_1",
            }
        ],
    }


def test_announcement_ends_ready_and_shows_no_key() -> None:
    lines = DESCRIPTION.announce().splitlines()
    assert lines[-1] == "ready: http://127.0.0.1:8080"
    assert "  docs     http://127.0.0.1:8080/dev/docs" in lines
    assert "atr_dev" not in DESCRIPTION.announce()


def test_variables_can_be_read_by_a_shell(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    second = SeededTenant("ten_2", "globex", "free", "atr_dev_z", SeededAdmin("b@globex.example", "it's"), "agt_2")
    replace(DESCRIPTION, tenants=(*DESCRIPTION.tenants, second)).write(path)
    script = f"""{render_variables(path)}
echo "$ATRIUM $KEY $FREE_KEY $ADMIN_PASSWORD"
echo '{{"usage": {{"tokens": [3, 4]}}, "name": "a b"}}' | tee >(field name) >(field usage.tokens.1) >/dev/null
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[0] == "http://127.0.0.1:8080/dev atr_dev_y atr_dev_z pw"
    assert sorted(done.stdout.splitlines()[1:]) == ["4", "a b"]


def test_variables_without_a_stack(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="no stack runs in this folder"):
        render_variables(tmp_path / "dev.json")
