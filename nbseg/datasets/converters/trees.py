"""Check folders and files that were unpacked from the official archives."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def require(root: Path, paths: Iterable[str], tree: str) -> None:
    """Check that all paths exist.

    Args:
        root: folder of the data set.
        paths: required paths, relative to ``root``.
        tree: text that lists the expected files, for the message.

    Raises:
        FileNotFoundError: a path is missing.
    """
    for path in paths:
        if not (root / path).exists():
            raise FileNotFoundError(
                f"{root / path} is missing; unpack the archives so that {root} has:\n{tree}"
            )


def require_all(folder: Path, names: Sequence[str], what: str) -> None:
    """Check that all files exist in a folder.

    Args:
        folder: folder of the files.
        names: names of the files.
        what: description of one file, for the message.

    Raises:
        FileNotFoundError: files are missing; the message names the first one and their number.
    """
    there = set(os.listdir(folder))
    missing = [name for name in names if name not in there]
    if missing:
        raise FileNotFoundError(
            f"{folder / missing[0]} is missing ({what}); {len(missing)} of {len(names)} files are "
            "missing; unpack the archive again"
        )


@contextmanager
def in_documented_format(path: Path) -> Iterator[None]:
    """Turn an error in a ``with`` block that reads a file into a ValueError with the file's path.

    Args:
        path: path of the file.

    Raises:
        ValueError: a value is missing, has a wrong type or is invalid.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ArithmeticError, MemoryError) as error:
        raise ValueError(
            f"{path} is not in the documented format ({type(error).__name__}: {error}); unpack "
            "the archive again"
        ) from error
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}; unpack the archive again") from error
