"""The sample of texts depends only on the files and the seed, and covers all sources."""

import re
import subprocess
from pathlib import Path

import pytest

from infra.checks.sample import SIZES, Text, docstrings, draw, error_texts, main, paragraphs

FILES = {
    "layers/core/atrium/kernel/errors.py": """
class NotFound(AtriumError):
    code, status, title = "NOT_FOUND", 404, "A title"
""",
    "layers/core/atrium/http/validation.py": 'SENTENCES: Mapping[str, str] = {"missing": "A validation message"}',
    "functions/chat/app.py": """
class Session(StrictModel):
    name: Annotated[str, AfterValidator(check)]
    \"\"\"An attribute docstring.\"\"\"
    size: Annotated[int, Query(description="A description")]

class Internal:
    name: str
    \"\"\"An internal attribute.\"\"\"

def f(session_id):
    \"\"\"A docstring of a function.\"\"\"
    raise NotFound(f"A detail of {session_id}.")

def check(value):
    raise ValueError("A message of a validator")

def parse(value):
    raise ValueError("An internal error")
""",
    "functions/console/errors.toml": '[NOT_FOUND]\ncause = "A cause"\nremedy = "A remedy"\nexample = {a = "b"}\n',
    "infra/checks/a.py": '"""A docstring of a check."""',
    "tests/test_a.py": '"""A docstring of a test."""',
    "README.md": "# A heading\n\nA paragraph\nof two lines.\n\n```sh\nmake test\n```\n",
    "infra/docs/a.md": "| a | table |\n\nA list:\n\n- An item\n  of two lines.\n- An item.\n\nRelated: [a](a.md).\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with texts from every source."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_finds_the_texts_of_all_sources(root: Path) -> None:
    assert {each.text for each in docstrings(root)} == {
        "A docstring of a function.",
        "A docstring of a check.",
        "A docstring of a test.",
    }
    assert {each.text for each in error_texts(root)} == {
        "A title",
        "A validation message",
        "A detail of {session_id}.",
        "A message of a validator",
        "An attribute docstring.",
        "A description",
        "A cause",
        "A remedy",
    }
    assert set(paragraphs(root)) == {
        Text("README.md", 3, "A paragraph\nof two lines."),
        Text("infra/docs/a.md", 5, "- An item\nof two lines."),
        Text("infra/docs/a.md", 7, "- An item."),
    }


def test_prints_the_same_sample_for_the_same_seed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["seed"], root)
    first = capsys.readouterr().out
    main(["seed"], root)
    assert capsys.readouterr().out == first
    assert len(re.findall(r"^\d+\. \S+:\d+$", first, re.MULTILINE)) == 14
    main(["another seed"], root)
    assert capsys.readouterr().out.splitlines()[1:] != first.splitlines()[1:]


def test_draws_different_texts() -> None:
    texts = [Text("a", number, str(number // 2)) for number in range(20)]
    drawn = draw(iter(texts), 10, "seed")
    assert {each.text for each in drawn} == {str(number) for number in range(10)}
    assert all(each.line % 2 == 0 for each in drawn), "the first of equal texts"


def test_draws_a_full_sample_of_this_repository(capsys: pytest.CaptureFixture[str]) -> None:
    main(["seed"])
    assert len(re.findall(r"^\d+\. \S+:\d+$", capsys.readouterr().out, re.MULTILINE)) == sum(SIZES.values())
