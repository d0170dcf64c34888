"""Read config files, and import the modules that they list in ``custom_imports``."""

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
    """Read an nbseg config, or the plain MMDetection config of one stage, and override some keys.

    Args:
        path: the config file.
        options: new values by dotted key, such as ``{"teacher.iterations": 500}``; None overrides
            nothing.
        import_modules: whether to import the modules that the config lists in ``custom_imports``.
            These imports take seconds.

    Raises:
        FileNotFoundError: the file or one of its bases does not exist.
        ValueError: the file is not a config, an option cannot be set, or a module cannot be
            imported.
    """
    try:
        config = Config.fromfile(path, import_custom_modules=False)
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
                f"{path}: the section {section} must be a dictionary of config keys and values, "
                f"found {config[section]!r}"
            )
    if import_modules:
        import_custom_modules(config)
    return config


def import_custom_modules(config: Config) -> None:
    """Import the modules that a config lists in ``custom_imports``; they register components.

    Raises:
        StageError: ``custom_imports`` is not a dictionary with a list of names, or a module cannot
            be imported.
    """
    wanted = config.get("custom_imports") or {"imports": []}
    imports = wanted.get("imports") if isinstance(wanted, dict) else None
    names = [imports] if isinstance(imports, str) else imports
    where = f"{config.filename}: " if config.filename else ""
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or wanted.keys() - {"imports", "allow_failed_imports"}
    ):
        raise StageError(
            f"{where}custom_imports must be a dictionary with the names of modules, such as "
            f"dict(imports=['nbseg.register', 'my_module']); found {wanted!r}"
        )
    try:
        import_modules_from_strings(**wanted)
    except Exception as error:  # a module is a program, which may raise any error
        cause = error.__context__ or error  # MMEngine's own error does not say what is wrong
        raise StageError(
            f"{where}a module in custom_imports.imports = {names} cannot be imported "
            f"({type(cause).__name__}: {cause}); correct the module or its name, or add the "
            "module's folder to the environment variable PYTHONPATH"
        ) from error
