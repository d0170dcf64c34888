"""Replace names in braces, such as ``'{train_images}'``, with the values of top-level keys."""

import json
import re
from collections.abc import Mapping
from typing import Any

from nbseg.config.arithmetic import evaluate

# A name, or an expression with at least one operator or parenthesis.
BRACES = re.compile(r"\{([^\W\d]\w*|[\w .]*[-+*/(][-+*/(), \w.]*)\}")


def names_in(value: Any) -> set[str]:
    """Return the names that the braces in any part of a config refer to."""
    braces = BRACES.findall(json.dumps(value, default=str))
    return {name for text in braces for name in re.findall(r"[^\W\d]\w*", text)}


def replace_names(value: Any, names: Mapping[str, Any]) -> Any:
    """Return a copy of ``value`` in which each name in braces is replaced with the name's value.

    Dictionaries and lists are searched, too. A string that is just one name in braces becomes the
    name's value, which may have any type. In a longer string, the value must be a string or a
    number.

    Args:
        value: any part of a config.
        names: value of each name; a value may contain other names.

    Raises:
        ValueError: a name is unknown, refers to itself, or has a type that cannot be part of a
            string.
    """
    try:
        return _replace(value, names)
    except RecursionError:
        raise ValueError("a name in braces refers to itself, directly or through others") from None


def _replace(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _replace(entry, names) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace(entry, names) for entry in value)
    if not isinstance(value, str):
        return value

    def lookup(name: str) -> Any:
        if names.get(name) is None:
            raise ValueError(
                f"the config says {value!r}, but has no top-level key {name!r}; set it with "
                f"--cfg-options {name}=..."
            )
        return _replace(names[name], names)

    def content(braces: re.Match[str]) -> Any:
        return lookup(braces[1]) if braces[1].isidentifier() else evaluate(braces[1], lookup)

    def embedded(braces: re.Match[str]) -> str:
        part = content(braces)
        if not isinstance(part, (str, int, float)):
            raise ValueError(
                f"the config says {value!r}, but {braces[1]!r} is a {type(part).__name__}; only a "
                "string or a number can be inserted into a string"
            )
        return str(int(part) if isinstance(part, float) and part.is_integer() else part)

    whole = BRACES.fullmatch(value)
    return content(whole) if whole else BRACES.sub(embedded, value)
