"""CONTRIBUTING.md names only existing files, and its examples are valid. Code that a recipe adds must have tests."""

import ast
import re
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from textwrap import dedent, indent

import pytest
from atrium.kernel.errors import catalogue
from atrium.tools.registry import BUILT_IN

from infra.runtime.template import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
TESTS = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)}
# Files that the reader of a recipe creates.
NEW = re.compile(r"/(acme|roman|test_roman|weather|reports|test_reports)\b|<")
BLOCKS = [dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)]
ADDED = {
    **{f"the code {kind.code}": rf'"{kind.code}"|\b{kind.__name__}\b' for kind in catalogue()},
    **{f"the tool {tool.name}": rf"\b{tool.name.upper()}\.call\(" for tool in BUILT_IN},
    **{
        f"the handler {path.stem}": rf"\bfunctions\.events\.{path.stem} import\b"
        for path in (ROOT / "functions/events").glob("*.py")
        if "\ndef handler(" in path.read_text()
    },
    **{
        f"the adapter {path.parent.name}": rf"\batrium\.llm\.{path.parent.name}\."
        for path in (ROOT / "layers/core/atrium/llm").glob("*/__init__.py")
    },
}


def test_the_files_that_it_names_exist() -> None:
    named = re.findall(r"`([\w./-]+/[\w./<>-]*)`", TEXT) + re.findall(r"\]\(([^)#]+)", TEXT)
    assert [name for name in named if not NEW.search(f"/{name}") and not (ROOT / name).exists()] == []


def test_the_tests_that_it_names_exist() -> None:
    defined = set(
        re.findall(r"^def (test_\w+)\(", "\n".join(TESTS.values()) + Path(__file__).read_text(), re.MULTILINE)
    )
    assert sorted(set(re.findall(r"`(test_\w+)`", TEXT)) - defined) == []


def test_the_commands_that_it_names_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)`", TEXT)) - targets == set()


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_an_example_is_python_and_imports_what_exists(block: str) -> None:
    if block.startswith("case "):
        block = "match 0:\n" + indent(block, "    ")
    elif re.match(r'"[\w/]', block):
        block = f"{{{block}}}"
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and node.module and not NEW.search(node.module.replace(".", "/")):
            assert not [each.name for each in node.names if not _exists(node.module, each.name)], block


def _exists(module: str, name: str) -> bool:
    return hasattr(import_module(module), name) or find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("added", ADDED)
def test_what_a_recipe_adds_is_tested(added: str) -> None:
    proving = chain.from_iterable((ROOT / "tests" / kind).rglob("*.py") for kind in ("unit", "integration"))
    assert any(re.search(ADDED[added], TESTS[path]) for path in proving), f"{added} is in no test"
