"""Exact arithmetic for models that cannot count: decimal, bounded in digits, parsed and never evaluated as code."""

import ast
import operator
from collections.abc import Callable
from decimal import Context, Decimal, DecimalException, DivisionByZero, InvalidOperation, Overflow
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from atrium.tools.model import Tool, ToolContext, ToolRetry

_DIGITS = 50
_EXPONENT_MAX = 1_000
_CONTEXT = Context(prec=_DIGITS, Emax=9_999, Emin=-9_999, traps=[DivisionByZero, InvalidOperation, Overflow])

_BINARY: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: _CONTEXT.add,
    ast.Sub: _CONTEXT.subtract,
    ast.Mult: _CONTEXT.multiply,
    ast.Div: _CONTEXT.divide,
    ast.FloorDiv: lambda left, right: (left / right).to_integral_value("ROUND_FLOOR", _CONTEXT),
    ast.Mod: lambda left, right: left - right * (left / right).to_integral_value("ROUND_FLOOR", _CONTEXT),
}
_UNARY: dict[type[ast.unaryop], Callable[[Decimal], Decimal]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


class CalculatorArguments(BaseModel):
    """What to compute."""

    model_config = ConfigDict(extra="forbid")

    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="Numbers with + - * / // % ** and parentheses, such as (2 + 3) * 4.5",
        ),
    ]


def evaluate(expression: str) -> Decimal:
    """Return the value, to 50 digits; `ToolRetry` says what is wrong with the expression."""
    try:
        tree = ast.parse(expression.replace("^", "**").strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ToolRetry("that is not an arithmetic expression") from error
    try:
        return _value(tree.body)
    except DivisionByZero as error:
        raise ToolRetry("division by zero") from error
    except (DecimalException, RecursionError) as error:
        raise ToolRetry("the result is out of range") from error


def _value(node: ast.expr) -> Decimal:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _CONTEXT.create_decimal(str(number))
        case ast.UnaryOp(op=sign, operand=inner) if type(sign) in _UNARY:
            return _UNARY[type(sign)](_value(inner))
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            return _power(_value(base), _value(exponent))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _BINARY[type(sign)](_value(left), _value(right))
        case _:
            raise ToolRetry("only numbers, + - * / // % ** and parentheses are understood")


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > _EXPONENT_MAX:
        raise ToolRetry(f"exponents go up to {_EXPONENT_MAX}")
    return _CONTEXT.power(base, exponent)


def _run(arguments: CalculatorArguments, _: ToolContext) -> str:
    value = evaluate(arguments.expression)
    if value == value.to_integral_value() and abs(value) < Decimal(10) ** _DIGITS:
        return f"{value:f}".split(".", maxsplit=1)[0]
    return str(_CONTEXT.normalize(value))


CALCULATOR = Tool(
    name="calculator",
    description="Compute an arithmetic expression exactly.",
    category="math",
    arguments=CalculatorArguments,
    run=_run,
)
