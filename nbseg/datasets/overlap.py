"""Find images that occur twice: in the labeled and the unlabeled set, or within one set."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from nbseg.files import file_hash

# Number of last bytes to compare first: compressed images of one camera often start with the same
# bytes but rarely end with the same.
TAIL = 256


def overlapping_images(
    labeled: Iterable[str | Path], unlabeled: Iterable[str | Path]
) -> list[tuple[Path, Path]]:
    """Return pairs of a labeled and an unlabeled path that lead to the same image.

    Two paths lead to the same image in two cases: they lead to one file (links are followed), or
    they lead to two files with the same bytes. Each unlabeled path is in at most one pair.

    A file is read completely only if a file of the other set has the same size and the same last
    256 bytes. Missing files are skipped, because loading them later raises a clearer error.
    """
    by_file: dict[tuple[int, int], str | Path] = {}
    by_size: dict[int, list[str | Path]] = defaultdict(list)
    for path, status in _existing(labeled):
        by_file.setdefault((status.st_dev, status.st_ino), path)
        by_size[status.st_size].append(path)

    # Read each labeled file at most once, however many unlabeled files have the same size.
    @cache
    def by_end(size: int) -> dict[bytes, list[str | Path]]:
        groups: dict[bytes, list[str | Path]] = defaultdict(list)
        for path in by_size[size]:
            groups[_end(path)].append(path)
        return groups

    @cache
    def by_content(size: int, end: bytes) -> dict[str, str | Path]:
        return {file_hash(path): path for path in reversed(by_end(size)[end])}

    pairs = []
    for path, status in _existing(unlabeled):
        size = status.st_size
        twin = by_file.get((status.st_dev, status.st_ino))
        if twin is None and size in by_size and (end := _end(path)) in by_end(size):
            twin = by_content(size, end).get(file_hash(path))
        if twin is not None:
            pairs.append((Path(twin), Path(path)))
    return pairs


def content_keys(paths: Sequence[str | Path]) -> list[str]:
    """Return a key for each file; two keys are equal exactly if the files have the same bytes.

    Keys of different calls must not be compared. A file is read completely only if another file has
    the same size and the same last 256 bytes. A missing file has a key that no other file has.
    """
    keys = [
        str(os.path.getsize(path)) if os.path.exists(path) else f"missing {number}"
        for number, path in enumerate(paths)
    ]
    for read in (_end, file_hash):
        counts = Counter(keys)
        keys = [
            f"{key} {read(path)!r}" if counts[key] > 1 else key
            for key, path in zip(keys, paths, strict=True)
        ]
    return keys


def distinct_images(paths: Sequence[Path]) -> list[Path]:
    """Return the paths in order; leave out a file with the same bytes as an earlier file."""
    first: dict[str, Path] = {}
    for key, path in zip(content_keys(paths), paths, strict=True):
        first.setdefault(key, path)
    return list(first.values())


def _existing(paths: Iterable[str | Path]) -> Iterable[tuple[str | Path, os.stat_result]]:
    for path in paths:
        try:
            yield path, os.stat(path)
        except OSError:
            continue


def _end(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
        return file.read()
