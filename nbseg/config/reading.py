"""Read config files. Error messages name the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nbseg.config.options import override
from nbseg.config.sections import SECTIONS


def read_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config of a run, or the plain MMDetection config of a stage, and override some keys.

    Args:
        path: the config file.
        options: values by dotted keys, as in :func:`override`.

    Raises:
        FileNotFoundError: the file or one of its bases does not exist.
        ValueError: the file is not a config, or an option cannot be set.
    """
    try:
        config = Config.fromfile(path)
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
