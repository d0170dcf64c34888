"""Evaluate arithmetic in a config's braces, such as ``'{round(7 / 8 * iterations)}'``."""

import ast
import operator
from collections.abc import Callable
from typing import Any

OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {"round": round, "max": max}


def evaluate(expression: str, lookup: Callable[[str], Any]) -> int | float:
    """Calculate an expression.

    An expression has numbers, names of numbers, ``+ - * /``, ``round(a)`` (an integer) and
    ``max(a, b)``.

    Args:
        expression: for example ``"round(64 * labeled_images / 8)"``.
        lookup: returns the value of a name.

    Raises:
        ValueError: the expression has other syntax, a name is not a number, or a divisor is 0.
    """

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            number = lookup(node.id)
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise ValueError(
                    f"the config calculates {expression!r}, but {node.id!r} is not a number: "
                    f"{number!r}"
                )
            return number
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.operand))
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
                return FUNCTIONS[name](*map(value, node.args))
        raise ValueError(
            f"the config calculates {expression!r}, but an expression may only have numbers, "
            "names of numbers, + - * /, round() and max()"
        )

    try:
        result: int | float = value(ast.parse(expression.strip(), mode="eval").body)
        return result
    except (SyntaxError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"the config calculates {expression!r}: {error}") from error
