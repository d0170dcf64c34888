"""Override keys of a config with options from the command line."""

import re
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config, DictAction

from nbseg.config.names import names_in
from nbseg.config.plain_config import RUNNER_KEYS
from nbseg.config.sections import SECTIONS


def add_config_options(parser: ArgumentParser) -> None:
    """Add the option ``--cfg-options`` to a tool; :func:`override` takes the option's values."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=OptionsAction,
        metavar="KEY=VALUE",
        help="config keys to override and their new values, e.g. teacher.iterations=500",
    )


class OptionsAction(DictAction):
    """Parses KEY=VALUE as MMEngine does; the error message quotes the invalid option."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, *others: Any
    ) -> None:
        """Add the options in ``values`` to the namespace.

        Raises:
            ArgumentError: an option is not of the form KEY=VALUE, or contains a call such as
                ``dict(a=1, b=2)``.
        """
        for value in values:
            try:
                super().__call__(parser, Namespace(), [value], *others)
            except (ValueError, AssertionError, RecursionError) as error:
                raise ArgumentError(
                    self,
                    f"cannot parse {value!r}; expected KEY=VALUE. VALUE can be a number, a string "
                    "or a list such as [1,2]. Set dictionaries in the config file",
                ) from error
        super().__call__(parser, namespace, values, *others)


def override(config: Config, options: Mapping[str, Any]) -> None:
    """Merge options into a config in place, as MMEngine's ``merge_from_dict`` does.

    Args:
        config: the user's config, with names in braces.
        options: new values by dotted key, such as ``{"teacher.iterations": 500}``.

    Raises:
        ValueError: a key would have no effect; a key such as ``a.b`` cannot be set because ``a`` is
            a string, for example a name in braces; or the options cannot be merged. The message
            suggests another key if possible.
    """
    content = config.to_dict()
    switches = ("allow_overlap", "check_coverage")
    read = {*content, *RUNNER_KEYS, *SECTIONS, *switches, *names_in([content, dict(options)])}
    for key in options:
        parts = key.split(".")
        if parts[0] not in read:
            close = get_close_matches(parts[0], read, 1)
            raise ValueError(
                f"nothing reads the config key {parts[0]!r}, so {key} would have no effect; "
                + (f"did you mean {close[0]!r}?" if close else "see docs/configs.md")
            )
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
    try:
        config.merge_from_dict(dict(options))
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(
            f"the config options {', '.join(options)} cannot be set ({error}); correct these "
            "options"
        ) from error


def _value(content: Any, parts: Sequence[str]) -> Any:
    """Return the value of a dotted key that was split into parts; None if the key is missing."""
    for part in parts:
        if isinstance(content, Mapping):
            content = content.get(part)
        elif isinstance(content, Sequence) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return None
    return content
