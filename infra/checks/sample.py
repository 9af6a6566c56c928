"""Draws a random sample of texts for a review of the language: `python -m infra.checks.sample [seed]`.

The sample contains docstrings, public texts of the API and paragraphs of the documents, each with its path and line.
The sample depends only on the files and the seed. The default seed is the hash of the last commit.
"""

import ast
import random
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeIs

from infra.checks.files import project_files
from infra.runtime.template import ROOT

SIZES = {"docstrings": 60, "error texts": 60, "paragraphs": 40}
_CODE = ("layers/*.py", "functions/*.py", "infra/*.py", "tests/*.py")
_DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "infra/docs/*.md", "infra/decisions/*.md")
_ERRORS = "layers/core/atrium/kernel/errors.py"
_PAGES = "functions/console/errors.toml"
# Tables of validation messages, and functions whose last argument is a public text.
_TABLES = frozenset({"SENTENCES", "PATTERN_TEXTS"})
_MESSAGES = frozenset({"OAuthRefused", "PydanticCustomError", "named_pattern"})
# A `ValueError` is public only if pydantic calls the function that raises it.
_VALIDATORS = frozenset({"AfterValidator", "BeforeValidator"})
_VALIDATOR_DECORATORS = frozenset({"field_validator", "model_validator"})
_FIELDS = frozenset({"Field", "Form", "Header", "Path", "PathParameter", "Query"})
_MODEL = "StrictModel"
# A block that begins with one of these strings is a heading, table, comment, link definition, rule or list of links.
_NO_PROSE = ("#", "|", "<", "[", "---", "Related:")
_LIST_ITEM = re.compile(r"(?:[-*]|\d+\.) ")

_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, order=True)
class Text:
    """A text with its file and line."""

    path: str
    line: int
    text: str


def docstrings(root: Path = ROOT) -> Iterator[Text]:
    """Yield all docstrings of the code and the tests."""
    for path, tree in _trees(root, _CODE):
        for node in ast.walk(tree):
            if isinstance(node, _DEFINITIONS):
                text = ast.get_docstring(node)
                if text:
                    yield Text(path, node.body[0].lineno, text)


def error_texts(root: Path = ROOT) -> Iterator[Text]:
    """Yield the public texts of the API: errors, validation messages, descriptions of fields, and error code pages."""
    trees = dict(_trees(root, ("layers/*.py", "functions/*.py")))
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    errors = {node.name for node in trees[_ERRORS].body if isinstance(node, ast.ClassDef)}
    validators = {name for node in nodes for name in _validators(node)}
    models = _subclasses(nodes, _MODEL)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            found = [*_messages(node, errors), *_validator_messages(node, validators), *_descriptions(node, models)]
            yield from (Text(path, each.lineno, _render(each)) for each in found if _is_text(each))
    lines = (root / _PAGES).read_text(encoding="utf-8").splitlines()
    for code, page in tomllib.loads("\n".join(lines)).items():
        yield from (Text(_PAGES, lines.index(f"[{code}]") + 1, page[name]) for name in ("cause", "remedy"))


def paragraphs(root: Path = ROOT) -> Iterator[Text]:
    """Yield the paragraphs and list items of the documents.

    Headings, tables, code, lists of related documents and one-line introductions (`Example:`) are skipped.
    """
    for file in project_files(root, *_DOCUMENTS):
        path = file.relative_to(root).as_posix()
        block: list[str] = []
        start = 0
        in_code = False
        for number, line in enumerate([*file.read_text(encoding="utf-8").splitlines(), ""], start=1):
            text = line.strip()
            fence = text.startswith("```")
            if block and (not text or fence or _LIST_ITEM.match(text)):
                if _is_prose(block):
                    yield Text(path, start, "\n".join(block))
                block = []
            in_code ^= fence
            if text and not in_code and not fence:
                start = start if block else number
                block.append(text)


def draw(texts: Iterator[Text], count: int, seed: str) -> list[Text]:
    """Return at most `count` different texts. The result depends only on the texts and the seed."""
    known = sorted({each.text: each for each in sorted(texts, reverse=True)}.values())
    return random.Random(seed).sample(known, min(count, len(known)))


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the numbered sample. The first argument, if there is one, is the seed."""
    seed = arguments[0] if arguments else _last_commit()
    print(f"sample of {seed}")
    for (kind, count), source in zip(SIZES.items(), (docstrings, error_texts, paragraphs), strict=True):
        print(f"\n{kind}")
        for number, text in enumerate(draw(source(root), count, seed), start=1):
            print(f"\n{number}. {text.path}:{text.line}\n{text.text}")
    return 0


def _trees(root: Path, patterns: Sequence[str]) -> Iterator[tuple[str, ast.Module]]:
    for file in project_files(root, *patterns):
        yield file.relative_to(root).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def _is_prose(block: Sequence[str]) -> bool:
    return not block[0].startswith(_NO_PROSE) and not (len(block) == 1 and block[0].endswith(":"))


def _messages(node: ast.AST, errors: set[str]) -> Iterator[ast.expr]:
    """Yield the expressions that become public texts: arguments of errors, titles, and tables of messages."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[*_, last]) if name in errors | _MESSAGES:
            yield last
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
            yield from (
                value
                for name, value in zip(names, values, strict=False)
                if isinstance(name, ast.Name) and name.id == "title"
            )
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict(values=values)) if name in _TABLES:
            yield from values
        case _:
            pass


def _validators(node: ast.AST) -> Iterator[str]:
    """Yield the names of functions that pydantic calls to validate a value."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[ast.Name(id=function), *_]) if name in _VALIDATORS:
            yield function
        case ast.FunctionDef(name=function, decorator_list=decorators):
            if _VALIDATOR_DECORATORS & {each.id for top in decorators for each in ast.walk(top) if _is_name(each)}:
                yield function
        case _:
            pass


def _validator_messages(node: ast.AST, validators: set[str]) -> Iterator[ast.expr]:
    if isinstance(node, ast.FunctionDef) and node.name in validators:
        for each in ast.walk(node):
            match each:
                case ast.Call(func=ast.Name(id="ValueError"), args=[message]):
                    yield message
                case _:
                    pass


def _descriptions(node: ast.AST, models: set[str]) -> Iterator[ast.expr]:
    """Yield the descriptions of parameters, and the attribute docstrings of request and response models."""
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in _FIELDS:
            yield from (each.value for each in keywords if each.arg == "description")
        case ast.ClassDef(name=name, body=body) if name in models:
            for field, docstring in pairwise(body):
                if isinstance(field, ast.AnnAssign) and isinstance(docstring, ast.Expr):
                    yield docstring.value
        case _:
            pass


def _subclasses(nodes: Sequence[ast.AST], base: str) -> set[str]:
    """Return the names of `base` and of all classes that inherit from it."""
    bases = {
        node.name: {each.id for top in node.bases for each in ast.walk(top) if _is_name(each)}
        for node in nodes
        if isinstance(node, ast.ClassDef)
    }
    found = {base}
    while new := {name for name, parents in bases.items() if parents & found} - found:
        found |= new
    return found


def _is_name(node: ast.AST) -> TypeIs[ast.Name]:
    return isinstance(node, ast.Name)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _render(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return ast.unparse(node).removeprefix("f")[1:-1]


def _last_commit() -> str:
    shown = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
    return shown.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
