"""Finds names and phrases that the glossary has replaced: `python -m infra.checks.glossary`.

glossary.toml lists the terms, their replacements and the files in which a term is still allowed. Names of modules,
classes, functions, parameters and annotated variables are checked. Phrases are searched in the whole text of Python
files, documents and YAML. `--prune` deletes pending entries of terms that are no longer used.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.checks.files import project_files
from infra.checks.report import report
from infra.runtime.template import ROOT

LIST = Path(__file__).with_suffix(".toml")
_PENDING = "\n[pending]\n"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Separates the words of a phrase: white space, quotes and comment signs, because a phrase may span several lines.
_GAP = r"[\s\"'#]+"


@dataclass(frozen=True)
class Use:
    """One use of a replaced term."""

    path: str
    line: int
    term: str
    text: str


class Glossary:
    """The replaced terms.

    A name is a whole identifier, which can be limited to one folder. A word is part of an identifier.
    """

    def __init__(self, content: Mapping[str, Mapping[str, str]], allowed: Mapping[str, list[str]]) -> None:
        self.replacements = {term: use for table in content.values() for term, use in table.items()}
        self._names = {name.rpartition(":")[2]: name for name in content["names"]}
        self._words = content["words"].keys()
        self._phrases = {
            **{phrase: _phrase_pattern(phrase) for phrase in content["phrases"]},
            **{pattern: pattern for pattern in content["patterns"]},
        }
        self._any_phrase = re.compile("|".join(self._phrases.values()), re.IGNORECASE)
        self._once = content["once"].keys()
        self.allowed = {(prefix, term) for prefix, terms in allowed.items() for term in terms}

    def name_uses(self, path: str, tree: ast.Module) -> Iterator[Use]:
        """Yield the replaced names of one module."""
        for line, name in _names(path, tree):
            term = self._names.get(name)
            if term is not None and path.startswith(term.rpartition(":")[0]):
                yield Use(path, line, term, name)
            for word in (word.lower() for word in _WORD.findall(name)):
                for known in {word, word.removesuffix("s")} & self._words:
                    yield Use(path, line, known, name)

    def phrase_uses(self, path: str, text: str) -> Iterator[Use]:
        """Yield the replaced phrases of one text."""
        for found in self._any_phrase.finditer(text):
            phrase = next(
                term for term, pattern in self._phrases.items() if re.fullmatch(pattern, found[0], re.IGNORECASE)
            )
            yield Use(path, text.count("\n", 0, found.start()) + 1, phrase, " ".join(found[0].split()))

    def repeated_classes(self, trees: Mapping[str, ast.Module]) -> Iterator[Use]:
        """Yield the classes of layers/ that have the same name, if the glossary allows only one class of this name."""
        defined: dict[str, list[Use]] = defaultdict(list)
        for path, tree in trees.items():
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name in self._once and path.startswith("layers/"):
                    defined[node.name].append(Use(path, node.lineno, node.name, node.name))
        for uses in defined.values():
            if len(uses) > 1:
                yield from uses


def read_glossary() -> Glossary:
    """Read glossary.toml."""
    content = tomllib.loads(LIST.read_text(encoding="utf-8"))
    pending, exceptions = content.pop("pending"), content.pop("exceptions")
    allowed = {prefix: [*pending.get(prefix, []), *exceptions.get(prefix, [])] for prefix in {**pending, **exceptions}}
    return Glossary(content, allowed)


def find_uses(glossary: Glossary, root: Path = ROOT) -> list[Use]:
    """Return every use of a replaced term in the project, including the allowed uses."""
    uses: list[Use] = []
    trees: dict[str, ast.Module] = {}
    for file in project_files(root, "*.py", "*.md", "*.yaml"):
        path, text = file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")
        uses += glossary.phrase_uses(path, text)
        if path.endswith(".py"):
            trees[path] = ast.parse(text)
            uses += glossary.name_uses(path, trees[path])
    return [*uses, *glossary.repeated_classes(trees)]


def check_glossary(glossary: Glossary | None = None, root: Path = ROOT) -> Iterator[str]:
    """Yield a line for each use that is not allowed, and for each allowed term that is no longer used."""
    glossary = glossary or read_glossary()
    used = set()
    for use in find_uses(glossary, root):
        permissions = {entry for entry in glossary.allowed if use.term == entry[1] and use.path.startswith(entry[0])}
        used |= permissions
        if not permissions:
            yield f"{use.path}:{use.line}: {use.text}: write {glossary.replacements[use.term]}"
    for prefix, term in sorted(glossary.allowed - used):
        yield f"{LIST.name}: {term!r} is no longer used below {prefix}: delete the entry (--prune)"


def prune() -> None:
    """Delete the pending entries of unused terms from glossary.toml."""
    used = defaultdict(set)
    glossary, text = read_glossary(), LIST.read_text(encoding="utf-8")
    for use in find_uses(glossary):
        for prefix, term in glossary.allowed:
            if use.term == term and use.path.startswith(prefix):
                used[prefix].add(term)
    head, _, tail = text.partition(_PENDING)
    kept = {prefix: [term for term in terms if term in used[prefix]] for prefix, terms in tomllib.loads(tail).items()}
    lines = [f"{_quote(prefix)} = [{', '.join(map(_quote, terms))}]" for prefix, terms in kept.items() if terms]
    LIST.write_text("\n".join([head + _PENDING[:-1], *lines, ""]), encoding="utf-8")


def _phrase_pattern(phrase: str) -> str:
    words = _GAP.join(map(re.escape, phrase.split()))
    return rf"\b{words}s?\b" if phrase[-1].isalpha() else rf"\b{words}"


def _quote(text: str) -> str:
    return f"'{text}'"


def _names(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for part in path.removesuffix(".py").split("/"):
        yield 1, part
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield node.lineno, name
            case _:
                pass


if __name__ == "__main__":
    if "--prune" in sys.argv[1:]:
        prune()
    sys.exit(report("glossary", check_glossary()))
