"""Finds the checks to remove: conditions on tenant, owner or visibility, and f-strings that put a tenant id into a key.

Each row shows a pattern and the value that replaces the check:

    if <check>: raise …                 False; also for each check with `not` or `!=`
    if <check>: …, return <check>       True
    f"…{tenant_id}…" in storage         the same text for every tenant
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.runtime.template import ROOT

SOURCES = ("layers/core/atrium", "functions")
STORAGE = "layers/core/atrium/storage/"
# Functions that check visibility.
_SEES = frozenset({"sees_all", "may_see", "_may_see"})
_NAMES = _SEES | {"owner", "tenant_id"}
_REFUSALS = frozenset({"Refused", "None", "False"})


@dataclass(frozen=True, order=True)
class Site:
    """The position of a check in the source code, and the replacement of the check."""

    path: str
    function: str
    line: int
    column: int
    end_line: int
    end_column: int
    replacement: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}: `{self.text}` is {self.replacement}"


def find_sites(root: Path = ROOT) -> Iterator[Site]:
    """Yield every check in the source code, sorted by file and line."""
    for source in SOURCES:
        for path in sorted((root / source).rglob("*.py")):
            yield from sorted(_Finder(str(path.relative_to(root)), path.read_text()).sites)


class _Finder(ast.NodeVisitor):
    """Collects the checks of a module. Functions are identified by their qualified names."""

    def __init__(self, path: str, source: str) -> None:
        self._path = path
        self._names: list[str] = []
        self._source = source
        self.sites: set[Site] = set()
        self.visit(ast.parse(source))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._enter(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._enter(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._enter(node)

    def visit_If(self, node: ast.If) -> None:
        self._note(node.test, refuses=_refuses(node.body))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._note(node.test)
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.Compare | ast.BoolOp):
            self._note(node.value)
        self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        if self._path.startswith(STORAGE) and "tenant_id" in {_name(each) for each in ast.walk(node)}:
            self._add(node, "'shared/'")

    def _enter(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()

    def _note(self, test: ast.expr, *, refuses: bool = False) -> None:
        """Record a condition as a mutation site. For `and` and `or`, record each operand that is a check."""
        if isinstance(test, ast.BoolOp):
            for value in test.values:
                self._note(value, refuses=refuses)
        elif _is_check(test):
            self._add(test, str(not (refuses or _denies(test))))

    def _add(self, node: ast.expr, replacement: str) -> None:
        if self._names:
            text = ast.get_source_segment(self._source, node) or ""
            end = (node.end_lineno or 0, node.end_col_offset or 0)
            self.sites.add(
                Site(self._path, ".".join(self._names), node.lineno, node.col_offset, *end, replacement, text)
            )


def _denies(test: ast.expr) -> bool:
    if isinstance(test, ast.Compare):
        return isinstance(test.ops[0], ast.NotEq | ast.NotIn)
    return isinstance(test, ast.UnaryOp)


def _is_check(test: ast.expr) -> bool:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _is_check(test.operand)
    if isinstance(test, ast.Compare):
        if not isinstance(test.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            return False
        return any(_name(node) in _NAMES or ast.unparse(node).endswith("tenant.id") for node in ast.walk(test))
    if isinstance(test, ast.Call):
        named = {_name(node) for each in test.args for node in ast.walk(each)}
        of_tenants = any(isinstance(each, ast.Constant) and each.value == "ten" for each in test.args)
        return _name(test.func) in _SEES or "_prefix" in named or (_name(test.func) == "is_id" and of_tenants)
    if isinstance(test, ast.BinOp):
        return bool({_name(node) for node in ast.walk(test)} & _NAMES)
    return _name(test) in _SEES


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _refuses(body: list[ast.stmt]) -> bool:
    """Return whether a branch rejects the caller, which means that it ends with `raise`, `continue` or a refusal."""
    last = body[-1]
    if isinstance(last, ast.Raise | ast.Continue):
        return True
    if not isinstance(last, ast.Return):
        return False
    value = last.value.func if isinstance(last.value, ast.Call) else last.value
    return value is None or ast.unparse(value) in _REFUSALS
