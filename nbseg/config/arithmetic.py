"""Evaluate arithmetic in braces in a config, such as ``'{round(7 / 8 * iterations)}'``."""

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
FUNCTIONS: dict[str, Callable[..., Any]] = {"round": round, "int": int, "max": max}


def evaluate(expression: str, lookup: Callable[[str], Any]) -> int | float:
    """Evaluate an arithmetic expression.

    An expression may contain numbers, names of config keys that have numbers as values, the
    operators ``+ - * /``, parentheses, and the functions ``round(a)``, ``max(a, b)`` and
    ``int(a)``. ``int`` rounds towards 0.

    Args:
        expression: for example ``"round(64 * labeled_images / 8)"``.
        lookup: function that returns the value of a name.

    Raises:
        ValueError: the expression contains anything else, the value of a name is not a number, or
            a divisor is 0.
    """

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            number = lookup(node.id)
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                raise ValueError(
                    f"cannot evaluate {expression!r} in the config: expected a number for the key "
                    f"{node.id!r}, found {number!r}; set this key to a number"
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
            f"cannot evaluate {expression!r} in the config: an expression may only contain "
            "numbers, names of keys, + - * /, parentheses, round(), int() and max()"
        )

    try:
        result: int | float = value(ast.parse(expression.strip(), mode="eval").body)
        return result
    except (SyntaxError, TypeError, ZeroDivisionError) as error:
        raise ValueError(
            f"cannot evaluate {expression!r} in the config: {error}; correct the expression"
        ) from error
