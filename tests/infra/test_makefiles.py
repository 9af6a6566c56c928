"""The makefile of every function and layer builds the layout that the template expects."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.checks.routes import functions_of
from infra.runtime.template import ROOT, Document, read_template

FUNCTIONS = {name: str(properties["CodeUri"]).strip("/") for name, properties in functions_of(read_template()).items()}


def _make(folder: Path, target: str, artifacts: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--silent", "-C", str(folder), target],
        env={**os.environ, "ARTIFACTS_DIR": str(artifacts), "PYTHON": sys.executable, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("logical_id", FUNCTIONS)
def test_a_function_builds_its_own_package_alone(logical_id: str, tmp_path: Path) -> None:
    package = FUNCTIONS[logical_id]

    done = _make(ROOT / package, f"build-{logical_id}", tmp_path)

    assert done.returncode == 0, done.stderr
    built = _files(tmp_path)
    assert f"{package}/__init__.py" in built
    assert all(name.startswith(f"{package}/") for name in built)
    assert not [name for name in built if name.endswith(("Makefile", ".pyc"))]


def test_functions_is_a_namespace_package() -> None:
    assert not (ROOT / "functions" / "__init__.py").exists()


def test_a_handler_is_in_its_artifact(template: Document) -> None:
    for logical_id, properties in functions_of(template).items():
        assert str(properties["Handler"]).replace(".", "/").startswith(f"{FUNCTIONS[logical_id]}/")


def test_the_core_layer_holds_atrium_with_bytecode(tmp_path: Path) -> None:
    done = _make(ROOT / "layers" / "core", "build-CoreLayer", tmp_path)

    assert done.returncode == 0, done.stderr
    built = _files(tmp_path)
    assert all(name.startswith("python/atrium/") for name in built)
    assert "python/atrium/settings.py" in built
    assert "python/atrium/__pycache__/settings.cpython-313.pyc" in built


@pytest.mark.parametrize("disabled", [None, "true"])
def test_only_aws_commands_use_the_metadata_service(disabled: str | None) -> None:
    """The Makefile disables the EC2 metadata service for other commands, unless the user has set the variable."""
    environment = {name: value for name, value in os.environ.items() if name != "AWS_EC2_METADATA_DISABLED"}
    if disabled:
        environment["AWS_EC2_METADATA_DISABLED"] = disabled
    targets = ["deploy", "bootstrap", "restore", "rebuild-counters"]
    shown = subprocess.run(
        ["make", "-n", *targets], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    commands = [line for line in shown if "-m infra." in line]
    assert len(commands) == len(targets)
    assert all(line.startswith(f"AWS_EC2_METADATA_DISABLED={disabled or ''} ") for line in commands)


def test_the_dependency_layer_without_uv_says_what_is_missing(tmp_path: Path) -> None:
    done = _make(ROOT / "layers" / "deps", "build-DepsLayer", tmp_path, UV="no-such-uv")

    assert done.returncode != 0
    assert "DepsLayer needs uv" in done.stderr
    assert _files(tmp_path) == set()
