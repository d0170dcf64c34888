"""Merge the sections of a config, such as ``teacher``, into the config of one stage.

The top-level keys describe the student, which is the model that users test and deploy. The sections
``teacher``, ``control``, ``predict``, ``oracle``, ``student`` and ``online`` override keys for
certain stages. The sections ``label``, ``split`` and ``report`` each hold the settings of one step.
docs/configs.md explains the rules with examples.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from nbseg.config.names import replace_names

# Keys of sections that name files of the user. Unlike other keys of a section, these keys do
# not override keys of the config.
FILES = ("checkpoint", "ann_file")
SECTIONS = (
    *("student", "online", "teacher", "control", "predict", "oracle"),
    *("label", "split", "report"),
)
# Former names of sections, and their current names.
RENAMED = {"supervised": "control", "pseudo": "predict", "labels": "label"}


def resolve(
    config: Config, sections: Sequence[str], names: Mapping[str, Any], keys: Collection[str]
) -> Config:
    """Merge sections into a copy of a config, replace names in braces, and return chosen keys.

    Args:
        config: the user's config; it is not changed.
        sections: names of the sections to merge; later ones override earlier ones.
        names: values of the built-in names, such as ``work_dir``. Built-in names take precedence
            over keys of the config.
        keys: top-level keys to return. The other keys may contain unknown names in braces.

    Raises:
        ValueError: a name or an expression in braces cannot be replaced, or the config has a
            section or key of an earlier version of nbseg.
    """
    _refuse_renamed(config)
    content = config.to_dict()
    overrides = [dict(content.get(section) or {}) for section in sections]
    if any(overrides):
        merged = Config(content)
        for override in overrides:
            merged.merge_from_dict({k: v for k, v in override.items() if k not in FILES})
        content = merged.to_dict()
    content = _without_delete_keys(content)
    chosen = {key: value for key, value in content.items() if key in keys}
    return Config(replace_names(chosen, {**content, **names}))


def user_file(config: Config, section: str, key: str) -> str | None:
    """Return the path of a user's file, such as ``teacher.checkpoint``; None if it is not set."""
    return (config.get(section) or {}).get(key)


def _refuse_renamed(config: Config) -> None:
    for key in config:
        new = RENAMED.get(key) or key.replace("labelled", "labeled")  # codespell:ignore labelled
        if new != key:
            raise ValueError(
                f"the config has the key {key!r} of an earlier nbseg version; rename it to {new!r}"
            )


def _without_delete_keys(value: Any) -> Any:
    """Remove all ``_delete_`` keys.

    MMEngine leaves this key in a dictionary if there was no dictionary to replace.
    """
    if isinstance(value, dict):
        return {key: _without_delete_keys(v) for key, v in value.items() if key != "_delete_"}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_delete_keys(entry) for entry in value)
    return value
