"""Find images that are in both the labeled and the unlabeled set."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from nbseg.files import file_hash

# Number of last bytes to compare first: compressed images of one camera often start with the same
# bytes but rarely end with the same.
TAIL = 256


def overlapping_images(
    labeled: Iterable[str | Path], unlabeled: Iterable[str | Path]
) -> list[tuple[Path, Path]]:
    """Return pairs of a labeled and an unlabeled path with the same image.

    The two paths lead to one file (links are resolved) or to two files with the same bytes. Only
    files of the same size with the same last bytes are read completely. Missing files are skipped,
    because loading them later raises a clearer error.
    """
    of_size: dict[int, list[Path]] = defaultdict(list)
    for path in map(Path, labeled):
        if path.exists():
            of_size[path.stat().st_size].append(path)
    end = cache(_end)
    pairs = []
    for path in map(Path, unlabeled):
        twins = of_size.get(path.stat().st_size, []) if path.exists() else []
        pairs += [
            (twin, path)
            for twin in twins
            if twin.resolve() == path.resolve()
            or (end(twin) == end(path) and file_hash(twin) == file_hash(path))
        ]
    return pairs


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read()
