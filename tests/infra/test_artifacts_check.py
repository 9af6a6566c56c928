"""The artifacts check reports artifacts that are missing, are too large, or contain unexpected files."""

from pathlib import Path

import pytest

from infra.checks.artifacts import check_artifacts
from infra.checks.routes import functions_of
from infra.runtime.template import Document


@pytest.fixture
def build(tmp_path: Path, template: Document) -> Path:
    """A small but complete build."""
    for function, properties in functions_of(template).items():
        package = tmp_path / function / properties["CodeUri"]
        package.mkdir(parents=True)
        (package / "app.py").write_text("X = 1\n")
    for layer in ("DepsLayer", "CoreLayer"):
        (tmp_path / layer / "python").mkdir(parents=True)
        (tmp_path / layer / "python" / "package.py").write_text("X = 1\n")
    return tmp_path


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def test_a_complete_small_build_passes(template: Document, build: Path) -> None:
    assert list(check_artifacts(template, build)) == []


def test_nothing_built_is_found(template: Document, tmp_path: Path) -> None:
    findings = list(check_artifacts(template, tmp_path / "none"))

    assert "ChatFunction is not built" in findings
    assert len(findings) == len(functions_of(template)) + 2


@pytest.mark.parametrize(
    ("artifact", "size", "limit"),
    [
        ("ChatFunction/functions/chat", 1_000_000, "ChatFunction has 1.0 MB, 1 MB at most"),
        ("ConsoleFunction/functions/console", 3_000_000, "ConsoleFunction has 3.0 MB, 3 MB at most"),
        ("DepsLayer/python", 70_000_000, "DepsLayer has 70.0 MB, 70 MB at most"),
    ],
)
def test_an_artifact_over_its_limit_is_found(
    template: Document, build: Path, artifact: str, size: int, limit: str
) -> None:
    _fill(build / artifact / "large.bin", size)

    assert list(check_artifacts(template, build)) == [limit]


def test_a_console_of_two_megabytes_passes(template: Document, build: Path) -> None:
    _fill(build / "ConsoleFunction/functions/console/page.js", 2_000_000)

    assert list(check_artifacts(template, build)) == []


def test_what_is_not_the_functions_own_is_found(template: Document, build: Path) -> None:
    foreign = build / "UsageFunction/functions/chat"
    foreign.mkdir()
    (foreign / "app.py").write_text("X = 1\n")

    findings = list(check_artifacts(template, build))

    assert findings == ["UsageFunction contains functions/chat/app.py, which is not below functions/usage"]


def test_an_empty_artifact_is_found(template: Document, build: Path) -> None:
    (build / "UsageFunction/functions/usage/app.py").unlink()

    assert list(check_artifacts(template, build)) == ["UsageFunction has no functions/usage"]
