"""The Python examples of the guide of the SDK run, in order, against the local model server."""

from pathlib import Path
from typing import Any

import pytest

from infra.local.model_server import running
from tests.e2e.guides.pages import ROOT, read_blocks

GUIDE: Path = ROOT / "infra" / "docs" / "agent-sdk.md"


@pytest.mark.loopback
def test_the_examples_of_the_guide_run(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block for block in read_blocks(GUIDE) if block.info == "python"]
    namespace: dict[str, Any] = {"__name__": "guide"}
    with running() as server:
        monkeypatch.setenv("MODEL_SERVER", server.url)
        for block in blocks:
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(GUIDE), "exec"), namespace)
    assert len(blocks) > 5
