"""The calculator tool. It computes with 50 decimal digits and limits the size of numbers. No expression runs as code.

sum     = product (("+" | "-") product)*
product = sign (("*" | "/" | "//" | "%") sign)*
sign    = ("+" | "-") sign | power
power   = atom ("**" sign)?                     "^" means "**"
atom    = number | "(" sum ")"
"""

import re
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import Annotated

from pydantic import Field

from atrium.tools.declaration import tool
from atrium.tools.model import ToolRetry

DIGITS = 50
_EXPONENT_MAX = 1_000
_NESTING_MAX = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?)|(?P<sign>\*\*|//|[-+*/%^()]))"
)


def evaluate(expression: str) -> tuple[Decimal, bool]:
    """Return the value of an expression, and whether it is exact. Raise `ToolRetry` if the expression is invalid."""
    context = Context(prec=DIGITS, Emax=9_999, Emin=-9_999, traps=[InvalidOperation, Overflow])
    try:
        value = _Reader(_tokens(expression), context).read()
    except DecimalException as error:
        raise ToolRetry("the result is undefined or out of range") from error
    return value, not context.flags[Inexact]


def _tokens(expression: str) -> list[str]:
    tokens: list[str] = []
    at, text = 0, expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ToolRetry("the expression may contain only numbers, + - * / // % ** and parentheses")
        tokens.append(found["number"] or found["sign"].replace("^", "**"))
        at = found.end()
    return tokens


class _Reader:
    """Parses an expression from left to right and computes its value."""

    def __init__(self, tokens: list[str], context: Context) -> None:
        self._tokens, self._context = [*tokens, ""], context
        self._at = self._depth = 0

    def read(self) -> Decimal:
        value = self._sum()
        if self._next():
            raise ToolRetry("the expression is not valid arithmetic, such as (2 + 3) * 4.5")
        return value

    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self, *tokens: str) -> str:
        """Return the next token and advance if it is one of `tokens`, otherwise return ""."""
        found = self._next()
        if found not in tokens:
            return ""
        self._at += 1
        return found

    def _sum(self) -> Decimal:
        value = self._product()
        while sign := self._take("+", "-"):
            other = self._product()
            value = self._context.add(value, other) if sign == "+" else self._context.subtract(value, other)
        return value

    def _product(self) -> Decimal:
        value = self._sign()
        while sign := self._take("*", "/", "//", "%"):
            other = self._sign()
            if sign != "*" and not other:
                raise ToolRetry("division by zero")
            match sign:
                case "*":
                    value = self._context.multiply(value, other)
                case "/":
                    value = self._context.divide(value, other)
                case "//":
                    value = self._floor(value, other)
                case _:
                    value = self._modulo(value, other)
        return value

    def _sign(self) -> Decimal:
        self._depth += 1
        if self._depth > _NESTING_MAX:
            raise ToolRetry(f"the expression must not be nested deeper than {_NESTING_MAX} levels")
        if self._take("-"):
            value = self._context.minus(self._sign())
        elif self._take("+"):
            value = self._sign()
        else:
            value = self._power()
        self._depth -= 1
        return value

    def _power(self) -> Decimal:
        base = self._atom()
        if not self._take("**"):
            return base
        exponent = self._sign()
        if abs(exponent) > _EXPONENT_MAX:
            raise ToolRetry(f"an exponent must be at most {_EXPONENT_MAX}")
        if not base and exponent < 0:
            raise ToolRetry("division by zero")
        return self._context.power(base, exponent)

    def _atom(self) -> Decimal:
        token = self._next()
        if self._take("("):
            value = self._sum()
            if not self._take(")"):
                raise ToolRetry("a parenthesis is not closed")
            return value
        if not token or not (token[0].isdigit() or token[0] == "."):
            raise ToolRetry("the expression is not valid arithmetic, such as (2 + 3) * 4.5")
        self._at += 1
        return self._context.create_decimal(token)

    def _floor(self, left: Decimal, right: Decimal) -> Decimal:
        """Divide and round down like `//` in Python. The remainder has the sign of the divisor."""
        quotient = self._context.divide_int(left, right)
        crosses = self._context.remainder(left, right) and left.is_signed() != right.is_signed()
        return self._context.subtract(quotient, Decimal(1)) if crosses else quotient

    def _modulo(self, left: Decimal, right: Decimal) -> Decimal:
        rest = self._context.remainder(left, right)
        return self._context.add(rest, right) if rest and left.is_signed() != right.is_signed() else rest


def render(value: Decimal) -> str:
    """Return the number as text. Whole numbers and short fractions are written without an exponent."""
    if not value:
        return "0"
    plain = value.normalize(Context(prec=DIGITS))
    return f"{plain:f}" if -DIGITS <= plain.adjusted() < DIGITS else str(plain)


def _calculate(
    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="Numbers with + - * / // % ** and parentheses, such as (2 + 3) * 4.5",
        ),
    ],
) -> str:
    value, exact = evaluate(expression)
    return render(value) if exact else f"{render(value)} (rounded to {DIGITS} digits)"


CALCULATOR = tool(
    f"Compute an arithmetic expression exactly, or to {DIGITS} digits if that is not possible.",
    name="calculator",
    category="math",
    effect="pure",
)(_calculate)
