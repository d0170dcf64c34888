"""Write files atomically, read json files, and hash files."""

import gc
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path for writing a file, and rename this file to ``path`` at the end.

    The temporary file has a name that starts with a dot, and lies in the same folder as ``path``.
    A missing folder is created. If the block raises an error or the process dies, ``path`` does not
    change.

    Raises:
        OSError: the disk is full or read-only, or the file exceeds a size limit; the error names
            ``path`` or the temporary path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            # The error of a failed write does not name the file.
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Delete the temporary files of ``replacing`` that killed processes left in a folder.

    The temporary files in subfolders are deleted, too. Call this function only if no other process
    writes to the folder.
    """
    for file in folder.rglob(".*.partial[0-9]*"):
        if file.is_file():
            file.unlink()


def refuse_existing(paths: Iterable[Path], force: bool, note: str = "") -> None:
    """Refuse to replace files, unless ``force`` is True.

    Args:
        paths: the files to write.
        force: whether files may be replaced.
        note: text that follows "PATH exists" in the message, such as ", and may hold corrections".

    Raises:
        FileExistsError: a file exists.
    """
    for path in () if force else paths:
        if path.exists():
            raise FileExistsError(
                f"{path} exists{note}; choose another --out, or replace the file with --force"
            )


def relative_name(path: str | Path, folder: str | Path) -> str:
    """Return the path of a file relative to a folder, with slashes, as a ``file_name`` in COCO."""
    return Path(os.path.relpath(path, folder)).as_posix()


def read_json(path: Path) -> Any:
    """Return the content of a json file.

    The file may be in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not json, is nested too deeply, or has an object with a repeated
            key.
    """
    encoded = path.read_bytes()
    # Turn off the garbage collector: with millions of values, it would double the time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return json.loads(encoded, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        packed = encoded.startswith((b"\x1f\x8b", b"PK\x03\x04"))
        reason = "it is compressed; unpack it" if packed else f"{error}; correct the file"
        raise ValueError(f"{path} cannot be read as json: {reason}") from error
    finally:
        if enabled:
            gc.enable()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        # Python would silently keep the last value, and lose a whole table of annotations.
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice, but each key must be unique")
    return content


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """Write ``content`` as json atomically, with :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent), encoding="utf-8")


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    The hash is kept in memory and computed again if the file's size or modification time changes.
    """
    status = os.stat(path)
    return _file_hash(os.path.realpath(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _file_hash(path: str, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
