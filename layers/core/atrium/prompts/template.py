"""Checks and renders templates with Jinja's sandbox. The import takes about 45 ms, so it is imported when needed.

A template is checked in three steps before code is made of it: the tokens (number and nesting of brackets), the syntax
tree (only the nodes, filters and names below), and the *cost*, which bounds the number of nodes that a rendering can
evaluate. A loop multiplies the cost of its body by the maximum length of a list. While a template is rendered, the
output and the result of every filter are bounded.

The names of filters and their results must never change, because stored versions depend on them. Jinja's own filters
are not used, so that an update of Jinja does not change them either.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, nodes
from jinja2.environment import Template
from jinja2.runtime import Undefined
from jinja2.sandbox import SandboxedEnvironment

from atrium.prompts.model import (
    BUILT_IN,
    ITEMS_MAX,
    TEMPLATE_CHARACTERS_MAX,
    PromptFault,
    Values,
    Variable,
    VariableType,
)

OUTPUT_CHARACTERS_MAX = 50_000
TOKENS_MAX = 4_000
BRACKETS_MAX = 16
DEPTH_MAX = 24
LOOPS_MAX = 2
COST_MAX = 50_000
_LITERAL_CHARACTERS_MAX = 500
_LITERAL_INTEGER_MAX = 10**9
_FILTER_COST = 50
_COMPILED_MAX = 256
_TRUNCATED = "…"


def _join(value: object, separator: str = "") -> str:
    return separator.join(_texts(value))


def _sort(value: Any) -> list[str]:
    return sorted(_texts(value))


def _texts(value: object) -> Sequence[str]:
    if not isinstance(value, list | tuple):
        raise PromptFault("the filters `join` and `sort` need a list")
    return value


def _truncate(value: Any, length: int) -> str:
    text: str = _show(value)
    return text if len(text) <= length else text[:length].rstrip() + _TRUNCATED


def _default(value: Any, default: Any) -> Any:
    return default if isinstance(value, Undefined) else value


_FILTERS: Mapping[str, tuple[Callable[..., Any], tuple[type, ...]]] = {
    "capitalize": (lambda value: _show(value).capitalize(), ()),
    "default": (_default, (object,)),
    "first": (lambda value: value[0] if value else "", ()),
    "join": (_join, (str,)),
    "last": (lambda value: value[-1] if value else "", ()),
    "length": (len, ()),
    "lower": (lambda value: _show(value).lower(), ()),
    "sort": (_sort, ()),
    "title": (lambda value: _show(value).title(), ()),
    "trim": (lambda value: _show(value).strip(), ()),
    "truncate": (_truncate, (int,)),
    "upper": (lambda value: _show(value).upper(), ()),
}
"""The filters, and the types of their arguments, which must be literals."""
_TESTS: Mapping[str, Callable[[Any], bool]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
}
_LOGIC = (nodes.If, nodes.CondExpr, nodes.And, nodes.Or, nodes.Not)
_PLAIN_NODES = (nodes.Template, nodes.Output, nodes.TemplateData, *_LOGIC)
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.Call: "calls are not allowed",
    nodes.Getattr: "attributes are not allowed",
    nodes.Getitem: "access to items is not allowed",
    nodes.Slice: "access to items is not allowed",
    nodes.BinExpr: "arithmetic is not allowed",
    nodes.Concat: "`~` is not allowed; write the values one after the other",
    nodes.Assign: "`set` is not allowed",
    nodes.AssignBlock: "`set` is not allowed",
    nodes.With: "`with` is not allowed",
    nodes.Macro: "macros are not allowed",
    nodes.CallBlock: "calls are not allowed",
    nodes.FilterBlock: "filter blocks are not allowed",
    nodes.Block: "blocks are not allowed",
    nodes.Extends: "other templates cannot be used",
    nodes.Include: "other templates cannot be used",
    nodes.Import: "other templates cannot be used",
    nodes.FromImport: "other templates cannot be used",
    nodes.Dict: "dictionaries are not allowed",
    nodes.List: "a list can only follow `in` or `not in` of a condition",
    nodes.Tuple: "a list can only follow `in` or `not in` of a condition",
}


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A checked template. `names` are the variables that it uses."""

    template: Template
    names: frozenset[str]

    def render(self, values: Values, built_in: Values) -> str:
        """Return the text. Raise `PromptFault` if a variable is undefined, or if the text is too long."""
        context = self.template.new_context({**values, **built_in})
        pieces, size = list[str](), 0
        try:
            for piece in self.template.root_render_func(context):
                size += len(piece)
                if size > OUTPUT_CHARACTERS_MAX:
                    raise PromptFault(f"the text must have at most {OUTPUT_CHARACTERS_MAX:,} characters")
                pieces.append(piece)
        except UndefinedError as error:
            missing = sorted(self.names - values.keys() - built_in.keys())
            raise PromptFault(f"the variable `{missing[0] if missing else '?'}` needs a value") from error
        except (TemplateError, TypeError) as error:
            raise PromptFault("the types of two values that are compared or filtered do not fit") from error
        return "".join(pieces)


def compile_template(source: str, variables: Iterable[Variable]) -> CompiledTemplate:
    """Return the checked template. Raise `PromptFault` with the line and the reason if it is not allowed."""
    return _compile(source, tuple((each.name, each.type) for each in variables))


@lru_cache(_COMPILED_MAX)
def _compile(source: str, declared: tuple[tuple[str, VariableType], ...]) -> CompiledTemplate:
    if len(source) > TEMPLATE_CHARACTERS_MAX:
        raise PromptFault(f"must have at most {TEMPLATE_CHARACTERS_MAX:,} characters")
    environment = _environment()
    try:
        _check_tokens(environment, source)
        tree = environment.parse(source)
        check = _Check(types={**BUILT_IN, **dict(declared)})
        check.visit(tree, depth=0, loops=0, weight=1)
        return CompiledTemplate(environment.from_string(tree), frozenset(check.used))
    except TemplateSyntaxError as error:
        raise PromptFault("the syntax is invalid", error.lineno) from error
    except RecursionError as error:
        raise PromptFault(f"is nested deeper than {DEPTH_MAX} levels") from error
    except ValueError as error:
        raise PromptFault("contains a number that is too large") from error


@cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, finalize=_show, trim_blocks=True, lstrip_blocks=True, optimized=False, cache_size=0
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.tests.clear()
    environment.filters.update({name: _bounded(call) for name, (call, _) in _FILTERS.items()})
    environment.tests.update(_TESTS)
    return environment


def _bounded(call: Callable[..., Any]) -> Callable[..., Any]:
    def filtered(value: Any, *arguments: Any) -> Any:
        if call is not _default and isinstance(value, Undefined):
            str(value)  # raises `UndefinedError`
        result = call(value, *arguments)
        if isinstance(result, str) and len(result) > OUTPUT_CHARACTERS_MAX:
            raise PromptFault(f"the result of a filter must have at most {OUTPUT_CHARACTERS_MAX:,} characters")
        return result

    return filtered


def _show(value: Any) -> Any:
    """Return the text of a value in the output."""
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ", ".join(value)
        case Undefined():
            return value
        case _:
            return str(value)


def _check_tokens(environment: SandboxedEnvironment, source: str) -> None:
    """Check the number of tokens and the nesting of brackets, so that the parser has little to do."""
    open_brackets = 0
    for count, (line, kind, text) in enumerate(environment.lexer.tokeniter(source, None)):
        if kind == "operator":
            open_brackets += (text in "([{") - (text in ")]}")
        if count > TOKENS_MAX:
            raise PromptFault("has too many tags and expressions", line)
        if open_brackets > BRACKETS_MAX:
            raise PromptFault("has too many nested brackets", line)


class _Check:
    """Checks one syntax tree. `types` are the types of the variables, and of the targets of the open loops."""

    def __init__(self, types: Mapping[str, VariableType]) -> None:
        self.types = dict(types)
        self.used: set[str] = set()
        self.cost = 0

    def visit(self, node: nodes.Node, *, depth: int, loops: int, weight: int) -> None:
        """Check a node and the nodes below it. `weight` is the number of times that it may be evaluated."""
        if depth > DEPTH_MAX:
            raise PromptFault(f"is nested deeper than {DEPTH_MAX} levels", node.lineno)
        self.cost += weight * (_FILTER_COST if isinstance(node, nodes.Filter) else 1)
        if self.cost > COST_MAX:
            raise PromptFault("its loops evaluate too many expressions", node.lineno)
        match node:
            case nodes.For():
                self._visit_loop(node, depth, loops, weight)
                return
            case nodes.Filter():
                self._check_filter(node)
                below: Iterable[nodes.Node] = [node.node] if node.node is not None else []
            case nodes.Test():
                self._check_test(node)
                below = [node.node]
            case nodes.Compare():
                below = self._check_comparison(node)
            case nodes.Name():
                self._check_name(node)
                below = ()
            case nodes.Const():
                _check_literal(node)
                below = ()
            case nodes.Neg(node=nodes.Const(value=int() | float())):
                below = [node.node]
            case _ if isinstance(node, _PLAIN_NODES):
                below = node.iter_child_nodes()
            case _:
                reasons = (reason for kind, reason in _REFUSED.items() if isinstance(node, kind))
                raise PromptFault(next(reasons, "this expression is not allowed"), node.lineno)
        for child in below:
            self.visit(child, depth=depth + 1, loops=loops, weight=weight)

    def _visit_loop(self, loop: nodes.For, depth: int, loops: int, weight: int) -> None:
        if loops == LOOPS_MAX:
            raise PromptFault(f"loops may be nested {LOOPS_MAX} levels deep", loop.lineno)
        if loop.recursive or loop.test is not None:
            raise PromptFault("a loop must be `for … in …` without `if` and `recursive`", loop.lineno)
        self._require_list(loop.iter, "a loop must be over a declared list variable")
        if not isinstance(loop.target, nodes.Name) or loop.target.name in {*self.types, "loop", "self", "caller"}:
            raise PromptFault("a loop needs one variable with a name of its own", loop.lineno)
        self.types[loop.target.name] = "string"
        for child in loop.body:
            self.visit(child, depth=depth + 1, loops=loops + 1, weight=weight * ITEMS_MAX)
        del self.types[loop.target.name]
        self.used.discard(loop.target.name)
        for child in loop.else_:
            self.visit(child, depth=depth + 1, loops=loops, weight=weight)

    def _require_list(self, node: nodes.Node, reason: str) -> None:
        if not isinstance(node, nodes.Name) or self.types.get(node.name) != "list":
            raise PromptFault(reason, node.lineno)
        self.used.add(node.name)

    def _check_name(self, node: nodes.Name) -> None:
        if node.ctx != "load" or node.name not in self.types:
            raise PromptFault("uses a variable that is not declared", node.lineno)
        self.used.add(node.name)

    def _check_comparison(self, node: nodes.Compare) -> Iterable[nodes.Node]:
        """Return the operands that are still to be checked. Membership is checked in lists only."""
        below = [node.expr]
        for operand in node.ops:
            if operand.op not in {"in", "notin"}:
                below.append(operand.expr)
            elif isinstance(operand.expr, nodes.List | nodes.Tuple):
                if not all(isinstance(each, nodes.Const) for each in operand.expr.items):
                    raise PromptFault("a list must contain only literals", operand.lineno)
                below += operand.expr.items
            else:
                self._require_list(operand.expr, "`in` must be followed by a declared list variable or a list")
                self.cost += ITEMS_MAX
        return below

    def _check_filter(self, node: nodes.Filter) -> None:
        _, types = _FILTERS.get(node.name, (None, ()))
        if node.name not in _FILTERS or node.node is None:
            raise PromptFault(f"the filters are: {', '.join(_FILTERS)}", node.lineno)
        is_plain = not (node.kwargs or node.dyn_args or node.dyn_kwargs) and len(node.args) <= len(types)
        if node.name in {"default", "truncate"}:
            is_plain = is_plain and len(node.args) == 1
        for argument, kind in zip(node.args, types, strict=False):
            is_plain = is_plain and isinstance(argument, nodes.Const) and isinstance(argument.value, kind)
        if not is_plain:
            raise PromptFault(f"the filter `{node.name}` has other arguments, which must be literals", node.lineno)
        for argument in node.args:
            _check_literal(argument)

    def _check_test(self, node: nodes.Test) -> None:
        if node.name not in _TESTS or node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise PromptFault(f"the tests are: {', '.join(_TESTS)}", node.lineno)


def _check_literal(node: nodes.Node) -> None:
    value = node.value if isinstance(node, nodes.Const) else None
    if isinstance(value, str) and len(value) > _LITERAL_CHARACTERS_MAX:
        raise PromptFault(f"a literal must have at most {_LITERAL_CHARACTERS_MAX} characters", node.lineno)
    if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
        raise PromptFault("a literal must be valid Unicode", node.lineno)
    if isinstance(value, int | float) and not -_LITERAL_INTEGER_MAX <= value <= _LITERAL_INTEGER_MAX:
        raise PromptFault("a number must be from -1,000,000,000 to 1,000,000,000", node.lineno)
