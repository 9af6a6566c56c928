"""The size check reports modules and functions that are too large."""

import subprocess
from pathlib import Path

from infra.checks.size import check_modules, check_source

HEAD = '"""Owns nothing."""\n'


def test_a_small_module_passes() -> None:
    assert list(check_source("a.py", HEAD + "X = 1\n")) == []


def test_an_empty_module_needs_no_docstring() -> None:
    assert list(check_source("__init__.py", "")) == []


def test_a_module_of_401_lines_is_found() -> None:
    assert list(check_source("a.py", HEAD + "X = 1\n" * 399)) == []
    assert list(check_source("a.py", HEAD + "X = 1\n" * 400)) == ["a.py has 401 lines, 400 at most"]


def test_a_last_line_without_newline_counts() -> None:
    assert list(check_source("a.py", HEAD + "X = 1\n" * 399 + "Y = 2")) == ["a.py has 401 lines, 400 at most"]


def test_a_module_without_docstring_is_found() -> None:
    assert list(check_source("a.py", "X = 1\n")) == ["a.py has no docstring"]


def test_a_function_of_41_lines_is_found_without_its_decorator() -> None:
    def module(lines: int) -> str:
        return HEAD + "@cache\nasync def walk() -> None:\n" + "    step()\n" * (lines - 1)

    assert list(check_source("a.py", module(40))) == []
    assert list(check_source("a.py", module(41))) == ["a.py:3 walk has 41 lines, 40 at most"]


def test_what_is_not_python_is_found() -> None:
    [finding] = check_source("a.py", "def (:\n")
    assert finding.startswith("a.py:1 is not Python")


def test_new_files_count_and_ignored_ones_do_not(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("skipped.py\n")
    for name in ("new.py", "skipped.py"):
        (tmp_path / name).write_text("X = 1\n")

    assert list(check_modules(tmp_path)) == ["new.py has no docstring"]
