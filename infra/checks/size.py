"""Limits the size of modules and functions: `python -m infra.checks.size`.

A module must have a docstring and at most 400 lines, or 600 lines in tests. A function must have at most 40 lines, not
including its decorators.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from infra.checks.files import project_files
from infra.checks.report import report
from infra.runtime.template import ROOT

MODULE_LINES_MAX = 400
TEST_LINES_MAX = 600
FUNCTION_LINES_MAX = 40


def check_source(name: str, text: str) -> Iterator[str]:
    """Check one module. An empty module does not need a docstring."""
    lines = text.count("\n") + (not text.endswith("\n") and bool(text))
    most = TEST_LINES_MAX if name.startswith("tests/") else MODULE_LINES_MAX
    if lines > most:
        yield f"{name} has {lines} lines, {most} at most"
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield f"{name}:{error.lineno} is not Python: {error.msg}"
        return
    if tree.body and not ast.get_docstring(tree):
        yield f"{name} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno} {node.name} has {length} lines, {FUNCTION_LINES_MAX} at most"


def check_modules(root: Path = ROOT) -> Iterator[str]:
    """Check every Python file of the project."""
    for path in project_files(root, "*.py"):
        yield from check_source(path.relative_to(root).as_posix(), path.read_text())


if __name__ == "__main__":
    sys.exit(report("size", check_modules()))
