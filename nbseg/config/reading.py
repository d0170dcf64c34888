"""Read config files. Error messages name the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from nbseg.config.options import override
from nbseg.config.sections import SECTIONS
from nbseg.errors import StageError


def read_config(
    path: str | Path, options: Mapping[str, Any] | None = None, import_modules: bool = True
) -> Config:
    """Read a config of a run, or the plain MMDetection config of a stage, and override some keys.

    Args:
        path: the config file.
        options: values by dotted keys, as in :func:`override`.
        import_modules: whether to import the modules that the config lists in ``custom_imports``.
            These imports take seconds.

    Raises:
        FileNotFoundError: the file or one of its bases does not exist.
        ValueError: the file is not a config, or an option cannot be set.
    """
    try:
        config = Config.fromfile(path, import_custom_modules=import_modules)
    except (FileNotFoundError, BrokenPipeError):
        raise
    except Exception as error:  # a config is a program, which may raise any error
        (reason, *_) = str(error).splitlines() or [""]
        raise ValueError(
            f"{path} cannot be read as a config ({type(error).__name__}: {reason}); correct the "
            "file"
        ) from error
    if not isinstance(config.get("model"), dict):
        raise ValueError(
            f"{path} is not a config of a detector: it has no dictionary 'model'; name another file"
        )
    override(config, options or {})
    for section in SECTIONS:
        if not isinstance(config.get(section) or {}, dict):
            raise ValueError(
                f"{path}: the section {section} must be a dictionary, found {config[section]!r}"
            )
    return config


def import_custom_modules(config: Config) -> None:
    """Import the modules that a config lists in ``custom_imports``; they register components.

    Raises:
        StageError: a module cannot be imported.
    """
    try:
        import_modules_from_strings(**(config.get("custom_imports") or {"imports": []}))
    except Exception as error:  # a module is a program, which may raise any error
        raise StageError(
            f"custom_imports: a module cannot be imported ({type(error).__name__}: {error}); "
            "correct the module or its name"
        ) from error
