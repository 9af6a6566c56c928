"""Applies a mutant to an imported function.

The module's source is compiled without the check, and the new code is assigned to the function object. Modules are
imported only once, so that the process that is forked for a mutant can start its tests immediately.
"""

import sys
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

from infra.mutants.sites import Site
from infra.runtime.template import ROOT


class NotPlanted(Exception):
    """Raised if the function of a mutant was not found, so that the mutant cannot be tested."""


def plant(site: Site) -> None:
    """Replace the code of the site's function with the mutated code, in this process."""
    text = _mutated(site)
    module = import_module(module_of(site.path))
    compiled = _find_code(compile(text, str(ROOT / site.path), "exec"), site.function.split("."))
    _find_function(module, site).__code__ = compiled


def module_of(path: str) -> str:
    return path.removeprefix("layers/core/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _mutated(site: Site) -> str:
    lines = (ROOT / site.path).read_bytes().splitlines(keepends=True)
    before = b"".join(lines[: site.line - 1]) + lines[site.line - 1][: site.column]
    after = lines[site.end_line - 1][site.end_column :] + b"".join(lines[site.end_line :])
    # Line numbers are kept, because tests read tracebacks.
    gap = b"\\\n" * (site.end_line - site.line)
    return (before + site.replacement.encode() + gap + after).decode()


def _find_code(code: CodeType, names: list[str]) -> CodeType:
    for name in names:
        found = [each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name]
        if not found:
            raise NotPlanted(f"no code of {name}")
        code = found[0]
    return code


def _find_function(module: Any, site: Site) -> FunctionType:
    holder: Any = module
    for name in site.function.split("."):
        holder = vars(holder).get(name) if hasattr(holder, "__dict__") else None
    for name in ("fget", "func", "__func__", "__wrapped__"):
        holder = getattr(holder, name, holder)
    if not isinstance(holder, FunctionType):
        raise NotPlanted(f"{site.path}: {site.function} is not a function of {sys.modules[module.__name__].__name__}")
    return holder
