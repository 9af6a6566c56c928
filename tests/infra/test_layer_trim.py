"""The dependency layer contains only the files that Lambda needs, and the licences."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from infra.runtime.template import ROOT

TRIM = ROOT / "layers" / "deps" / "trim.py"
KEPT = (
    "anthropic-2.0.dist-info/METADATA",
    "anthropic-2.0.dist-info/licenses/LICENSE",
    "boto3/data/s3/resources-1.json",
    "botocore/data/dynamodb/service-2.json.gz",
    "botocore/data/endpoints.json",
    "fastapi/app.py",
)
LOST = (
    "anthropic-2.0.dist-info/RECORD",
    "bin/uvicorn",
    "boto3/data/ec2/resources-1.json",
    "boto3/examples/s3.rst",
    "botocore/data/dynamodb/examples-1.json",
    "botocore/data/ec2/service-2.json.gz",
    "cffi/api.py",
    "fastapi/app.pyi",
    "fastapi/py.typed",
    "fastapi/__pycache__/old.cpython-313.pyc",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name in (*KEPT, *LOST, "anthropic/__init__.py", "anthropic/types/block.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("VALUE = 1\n" if name.endswith(".py") else "")
    return tmp_path


def _trim(site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TRIM), str(site)], capture_output=True, text=True, check=False)


def _files(site: Path) -> set[str]:
    return {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}


def test_keeps_only_what_is_needed(site: Path) -> None:
    assert _trim(site).returncode == 0

    left = _files(site)
    assert set(KEPT) <= left
    assert not set(LOST) & left


def test_modules_are_compiled_and_the_large_sdk_without_sources(site: Path) -> None:
    _trim(site)

    left = _files(site)
    assert "fastapi/__pycache__/app.cpython-313.pyc" in left
    assert {name for name in left if name.startswith("anthropic/")} == {
        "anthropic/__init__.pyc",
        "anthropic/types/block.pyc",
    }
    imported = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(site)!r}); import anthropic.types.block"],
        check=False,
    )
    assert imported.returncode == 0


def test_trimming_twice_changes_nothing(site: Path) -> None:
    _trim(site)
    once = _files(site)

    assert _trim(site).returncode == 0
    assert _files(site) == once


def test_a_module_that_does_not_compile_fails_the_build(site: Path) -> None:
    (site / "fastapi" / "broken.py").write_text("def (:\n")

    done = _trim(site)

    assert done.returncode != 0
    assert "do not compile" in done.stderr


def test_every_service_that_the_core_calls_is_in_the_layer() -> None:
    services = runpy.run_path(str(TRIM))["SERVICES"]
    core = "\n".join(path.read_text() for path in (ROOT / "layers" / "core").rglob("*.py"))

    called = set(re.findall(r'client\(\s*"([a-z0-9-]+)"', core))

    assert "dynamodb" in called
    assert called <= services
