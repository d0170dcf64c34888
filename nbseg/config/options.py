"""Override a config with options of the command line."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config


def override(config: Config, options: Mapping[str, Any]) -> None:
    """Merge options into a config in place, as MMEngine's ``merge_from_dict`` does.

    Args:
        config: the user's config, with names in braces.
        options: values by dotted keys.

    Raises:
        ValueError: a parent of an option's key is a string, such as a name in braces; the message
            says which key to set instead.
    """
    content = config.to_dict()
    for key in options:
        parts = key.split(".")
        for depth in range(1, len(parts)):
            parent = ".".join(parts[:depth])
            value = options.get(parent, _value(content, parts[:depth]))
            if not isinstance(value, str):
                continue
            name = re.fullmatch(r"\{(\w+)\}", value)
            advice = (
                f"set {name[1]}.{'.'.join(parts[depth:])}" if name else f"set {parent} as a whole"
            )
            raise ValueError(f"{key} cannot be set because {parent} is {value!r}; {advice} instead")
    config.merge_from_dict(dict(options))


def _value(content: Any, parts: Sequence[str]) -> Any:
    """Return the value of a key, given as its parts; None if there is no such key."""
    for part in parts:
        if isinstance(content, Mapping):
            content = content.get(part)
        elif isinstance(content, Sequence) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return None
    return content
