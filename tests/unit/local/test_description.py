"""The description of a running stack."""

import json
import stat
from pathlib import Path

from infra.local.description import Description
from infra.local.seed import SeededAdmin, SeededTenant

DESCRIPTION = Description(
    host_url="http://127.0.0.1:8080",
    base_url="http://127.0.0.1:8080/dev",
    platform_api_key="atr_dev_x",
    model_url="http://127.0.0.1:9",
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
