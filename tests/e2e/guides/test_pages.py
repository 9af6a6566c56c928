"""README and guides: every command succeeds, and every link has a target."""

import os
import re
import socket
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.guides.pages import LANGUAGES, PAGES, ROOT, RUN, read_blocks, run_page, starts_a_stack

LINE_MAX = 100
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A file or folder of the repository. Paths with a placeholder (`functions/<name>/`) do not match.
_FILE = re.compile(r"`((?:atrium|functions|infra|layers|tests)/[\w./-]+)`")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
# Generated from the OpenAPI document.
GENERATED = {"permissions.md"}
TOUR = ROOT / "README.md"


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def shell(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Environment variables for the shell of a page.

    They set a free port and the stage prefix, and unset the model and the OAuth providers of this machine. The stack is
    stopped after the test.
    """
    if request.config.getoption("--stack"):
        pytest.skip("each page has a stack of its own")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chosen = {
        "PORT": str(port),
        "STAGE_PREFIX": request.config.getoption("--stage-prefix"),
        **{name: "" for name in os.environ if name.startswith(("ANTHROPIC_", "OPENAI_", "ZHIPU_", "OAUTH_PROVIDER"))},
    }
    try:
        yield chosen
    finally:
        _make("stop", chosen)


def _make(target: str, variables: dict[str, str], *arguments: str) -> None:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        ["make", target, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=_name(page), marks=[] if page == TOUR else pytest.mark.slow) for page in PAGES],
)
def test_every_command_of_a_page_runs(page: Path, shell: dict[str, str], tmp_path: Path) -> None:
    if not any(block.info == RUN for block in read_blocks(page)):
        pytest.skip("the page has no command for the local stack")
    if not starts_a_stack(page):
        _make("dev", shell, "DETACH=1")
    assert run_page(page, tmp_path, shell) == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_fences_say_how_they_are_run_and_lines_are_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {block.info for block in read_blocks(page)} <= LANGUAGES
    assert text.count("```") % 2 == 0
    long = [line for line in text.splitlines() if len(line) > LINE_MAX and not line.startswith(("|", "!["))]
    assert page.name in GENERATED or long == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:", "$")):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if heading:
            assert heading in _anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_named_files_exist(page: Path) -> None:
    for name in _FILE.findall(page.read_text(encoding="utf-8")):
        path = f"layers/core/{name}" if name.startswith("atrium/") else name
        assert (ROOT / path).exists(), name


def test_every_error_code_is_in_the_guide() -> None:
    codes = tomllib.loads((ROOT / "functions" / "console" / "errors.toml").read_text(encoding="utf-8")).keys()
    guide = (ROOT / "infra" / "docs" / "errors.md").read_text(encoding="utf-8")
    assert [code for code in codes if f"`{code}`" not in guide] == []


def test_every_guide_is_in_the_index() -> None:
    index = ROOT / "infra" / "docs" / "README.md"
    listed = {link.partition("#")[0] for link in _LINK.findall(index.read_text(encoding="utf-8"))}
    assert {page.name for page in index.parent.glob("*.md")} - {index.name} <= listed


def _anchors(page: Path) -> set[str]:
    """Return the anchors of headings, in the form that GitHub generates."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
