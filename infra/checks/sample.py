"""Draws texts for a review of the language: `python -m infra.checks.sample [seed]`.

The sample has docstrings, public error texts and paragraphs of the documents, each with its path and line. It depends
only on the files and the seed, which is by default the hash of the last commit.
"""

import ast
import random
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.checks.files import project_files
from infra.runtime.template import ROOT

SIZES = {"docstrings": 60, "error texts": 60, "paragraphs": 40}
_CODE = ("layers/*.py", "functions/*.py", "infra/*.py", "tests/*.py")
_DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "infra/docs/*.md", "infra/decisions/*.md")
_ERRORS = "layers/core/atrium/kernel/errors.py"
_PAGES = "functions/console/errors.toml"
# Tables of validation messages, and functions whose last argument is one.
_TABLES = frozenset({"SENTENCES", "PATTERN_TEXTS"})
_MESSAGES = frozenset({"OAuthRefused", "ValueError", "named_pattern"})
# A paragraph of Markdown does not begin with the sign of a heading, table, code block, comment or link definition.
_NO_PROSE = ("#", "|", "```", "<", "[", "---")

_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, order=True)
class Text:
    """A text and its place."""

    path: str
    line: int
    text: str


def docstrings(root: Path = ROOT) -> Iterator[Text]:
    """Yield all docstrings of the code and its tests."""
    for path, tree in _trees(root, _CODE):
        for node in ast.walk(tree):
            if isinstance(node, _DEFINITIONS):
                text = ast.get_docstring(node)
                if text:
                    yield Text(path, node.body[0].lineno, text)


def error_texts(root: Path = ROOT) -> Iterator[Text]:
    """Yield titles and details of errors, validation messages, and the texts of the pages of error codes."""
    trees = dict(_trees(root, ("layers/*.py", "functions/*.py")))
    errors = {node.name for node in trees[_ERRORS].body if isinstance(node, ast.ClassDef)}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            yield from (Text(path, each.lineno, _render(each)) for each in _messages(node, errors) if _is_text(each))
    lines = (root / _PAGES).read_text(encoding="utf-8").splitlines()
    for code, page in tomllib.loads("\n".join(lines)).items():
        yield from (Text(_PAGES, lines.index(f"[{code}]") + 1, text) for text in page.values())


def paragraphs(root: Path = ROOT) -> Iterator[Text]:
    """Yield the paragraphs and lists of the documents, without headings, tables and code."""
    for file in project_files(root, *_DOCUMENTS):
        block: list[str] = []
        in_code = False
        for number, line in enumerate([*file.read_text(encoding="utf-8").splitlines(), ""], start=1):
            in_code ^= line.lstrip().startswith("```")
            if line.strip() and not in_code:
                block.append(line.strip())
            elif block:
                if not block[0].startswith(_NO_PROSE):
                    yield Text(file.relative_to(root).as_posix(), number - len(block), "\n".join(block))
                block = []


def draw(texts: Iterator[Text], count: int, seed: str) -> list[Text]:
    """Return `count` different texts; the same for the same texts and seed."""
    known = sorted({each.text: each for each in sorted(texts, reverse=True)}.values())
    return random.Random(seed).sample(known, min(count, len(known)))


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the numbered sample."""
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
