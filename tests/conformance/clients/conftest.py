"""Unmodified SDKs of other vendors, each in a process of its own."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.environment import STATE

HERE = Path(__file__).parent
PYTHON = STATE / "clients" / "bin" / "python"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
SECONDS_MAX = 120
# LiteLLM otherwise fetches its list of prices, and Vercel's SDK logs its warnings.
ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}

type RunClient = Callable[[str, Mapping[str, Any]], dict[str, Any]]
"""Runs the client with this name against an endpoint (see `sdks.py`). Returns the results of its scenarios."""


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script and the installed SDKs of the lock file."""
    made = tmp_path_factory.mktemp("clients")
    for name in ("package.json", "package-lock.json", "sdks.mjs"):
        shutil.copy(HERE / name, made)
    subprocess.run(INSTALL, cwd=made, check=True, capture_output=True, timeout=SECONDS_MAX)
    return made


@pytest.fixture(scope="session")
def run_client(node_folder: Path) -> RunClient:
    """Run a client. Names of JavaScript clients begin with `js-`, and of Python clients with `py-`."""
    if not PYTHON.exists():
        pytest.fail("the Python clients are not installed: run `make conformance`")

    def run(name: str, endpoint: Mapping[str, Any]) -> dict[str, Any]:
        language, _, client = name.partition("-")
        script = ["node", "sdks.mjs"] if language == "js" else [str(PYTHON), str(HERE / "sdks.py")]
        done = subprocess.run(
            [*script, client], cwd=node_folder, input=json.dumps({"options": {}, **endpoint}), capture_output=True,
            text=True, timeout=SECONDS_MAX, check=False, env={**os.environ, **ENVIRONMENT},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run
