"""Replace names in braces, such as ``'{train_images}'``, with the values of top-level keys."""

import json
import re
from collections.abc import Mapping
from typing import Any

from nbseg.config.arithmetic import evaluate

# A name, or an expression with at least one operator or parenthesis.
BRACES = re.compile(r"\{([^\W\d]\w*|[\w .]*[-+*/(][-+*/(), \w.]*)\}")


def names_in(value: Any) -> set[str]:
    """Return the names in braces in a part of a config, including functions such as ``round``."""
    braces = BRACES.findall(json.dumps(value, default=str))
    return {name for text in braces for name in re.findall(r"[^\W\d]\w*", text)}


def replace_names(value: Any, names: Mapping[str, Any]) -> Any:
    """Return a copy of ``value`` with names and expressions in braces replaced by their values.

    Dictionaries, lists and tuples are searched recursively. A string that consists of one name in
    braces becomes the name's value, which may have any type. In a longer string, the value must be
    a string or a number.

    Args:
        value: any part of a config.
        names: value of each name; a value may contain other names in braces.

    Raises:
        ValueError: a name is unknown, has the value None or refers to itself; a value in a longer
            string is neither a string nor a number; or an expression cannot be evaluated.
    """
    return _replace(value, names, ())


def _replace(value: Any, names: Mapping[str, Any], above: tuple[str, ...]) -> Any:
    """Replace the names in braces in ``value``.

    ``above`` lists the names whose values contain ``value``, the outermost first.
    """
    if isinstance(value, dict):
        return {key: _replace(entry, names, above) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace(entry, names, above) for entry in value)
    if not isinstance(value, str):
        return value

    def lookup(name: str) -> Any:
        if names.get(name) is None:
            raise ValueError(
                f"the config has the string {value!r}, but the top-level key {name!r} is missing "
                f"or None; set it (--cfg-options {name}=...)"
            )
        if name in above:
            circle = " -> ".join([*above[above.index(name) :], name])
            raise ValueError(
                f"the config key {name!r} refers to itself in braces ({circle}); remove one of "
                "these references"
            )
        return _replace(names[name], names, (*above, name))

    def content(braces: re.Match[str]) -> Any:
        return lookup(braces[1]) if braces[1].isidentifier() else evaluate(braces[1], lookup)

    def embedded(braces: re.Match[str]) -> str:
        part = content(braces)
        if not isinstance(part, (str, int, float)):
            raise ValueError(
                f"in the config's string {value!r}, the value of {braces[1]!r} is a "
                f"{type(part).__name__}, but only a string or a number can be inserted into a "
                "longer string; correct this value"
            )
        return str(int(part) if isinstance(part, float) and part.is_integer() else part)

    whole = BRACES.fullmatch(value)
    return content(whole) if whole else BRACES.sub(embedded, value)
