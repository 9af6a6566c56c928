"""The glossary check rejects replaced names and phrases, and entries of its allow list that are not used."""

import ast
import subprocess
from pathlib import Path

import pytest

from infra.checks.glossary import Glossary, check_glossary, read_glossary

CONTENT = {
    "names": {"Crate": "Box", "layers/core/atrium/llm:Wire": "Connection"},
    "words": {"gnome": "worker"},
    "phrases": {"lies in wait": "waits"},
    "patterns": {r"\(Z\d\)": "no planning codes"},
    "once": {"Taken": "another name"},
}


def findings(folder: Path, files: dict[str, str], allowed: dict[str, list[str]] | None = None) -> list[str]:
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return list(check_glossary(Glossary(CONTENT, allowed or {}), folder))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", "class Crate: ..."),
        ("a.py", "def f(Crate): ..."),
        ("a.py", "class A:\n    Crate: int"),
        ("a.py", "async def Crate(): ..."),
        ("a.py", "class GnomeWorker: ..."),
        ("a.py", "def find_gnomes(): ..."),
        ("tests/test_gnome.py", ""),
        ("layers/core/atrium/llm/a.py", "class Wire: ..."),
        ("a.py", '"""It lies in wait."""'),
        ("a.py", 'raise ValueError("it lies "\n    "in wait")'),
        ("a.py", "# it lies\n# in wait"),
        ("a.md", "Something lies\nin wait here."),
        ("a.yaml", "Description: Lies in wait"),
        ("a.py", '"""A thing (Z5)."""'),
    ],
)
def test_refuses_replaced_names_and_phrases(tmp_path: Path, path: str, source: str) -> None:
    [finding] = findings(tmp_path, {path: source})
    assert finding.startswith(f"{path}:")
    assert ": write " in finding


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", "class Crates: ...\nCrate = 1\nx.Crate"),
        ("a.py", "class Wire: ..."),
        ("a.py", "def gnomonic(): ..."),
        ("a.md", "class Crate, gnome"),
        ("a.md", "that relies in waiting"),
    ],
)
def test_accepts_other_names_and_texts(tmp_path: Path, path: str, source: str) -> None:
    assert findings(tmp_path, {path: source}) == []


def test_refuses_a_class_name_with_two_meanings(tmp_path: Path) -> None:
    files = {f"layers/core/atrium/{name}.py": "class Taken: ..." for name in ("a", "b")}
    assert len(findings(tmp_path, files)) == 2


def test_allows_pending_uses_below_their_prefix_only(tmp_path: Path) -> None:
    files = {"old/a.py": "class Crate: ...", "new/a.py": "class Crate: ..."}
    assert findings(tmp_path, files, {"old/": ["Crate"]}) == ["new/a.py:1: Crate: write Box"]


def test_refuses_permissions_without_a_use(tmp_path: Path) -> None:
    [finding] = findings(tmp_path, {"old/a.py": "class Box: ..."}, {"old/": ["Crate"]})
    assert finding == "glossary.toml: 'Crate' is no longer used below old/: delete the entry (--prune)"


def test_the_list_refuses_a_planted_name_and_phrase() -> None:
    glossary = read_glossary()
    assert list(glossary.name_uses("functions/new/app.py", ast.parse("class Door: ...")))
    assert list(glossary.phrase_uses("functions/new/app.py", '"There is no such ' + 'thing here."'))
    assert list(glossary.phrase_uses("README.md", "Nobod" + "y of this email is a user here"))
