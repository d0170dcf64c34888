"""Folders as they come out of the official archives."""

import os
from collections.abc import Iterable
from pathlib import Path


def require(root: Path, paths: Iterable[str], tree: str) -> None:
    """Refuse a folder that lacks one of the paths below it.

    Args:
        root: the folder that was given.
        paths: what must exist, relative to it.
        tree: what the official archives unpack to, for the message.

    Raises:
        FileNotFoundError: names the first missing path and the tree that was expected.
    """
    for path in paths:
        if not (root / path).exists():
            raise FileNotFoundError(f"{root / path} is missing; expected in {root}:\n{tree}")


def require_all(folder: Path, names: Iterable[str], what: str) -> None:
    """Refuse a folder that lacks one of the files.

    Raises:
        FileNotFoundError: names the first missing file and their number.
    """
    there = set(os.listdir(folder))
    missing = [name for name in names if name not in there]
    if missing:
        raise FileNotFoundError(
            f"{folder / missing[0]} is missing ({what}), as are {len(missing) - 1} more: unpack "
            "the archive again"
        )
