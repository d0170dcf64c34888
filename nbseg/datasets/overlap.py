"""Find images that are in both the labeled and the unlabeled set."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from nbseg.files import file_hash

# Bytes compared first: compressed images of one camera start alike but rarely end alike.
TAIL = 256


def overlapping_images(
    labeled: Iterable[str | Path], unlabeled: Iterable[str | Path]
) -> list[tuple[Path, Path]]:
    """Return the pairs of a labeled and an unlabeled path that are the same file or image.

    A pair is one file under two paths (links are resolved) or two files with the same bytes. Files
    are read completely only if a labeled and an unlabeled one agree in size and in their last
    bytes. Files that do not exist are skipped; loading them raises a clearer error.
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
