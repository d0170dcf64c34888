"""Images that lie in the labeled and in the unlabeled set at once."""

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from nbseg.files import file_hash

# Compressed images of one camera begin alike, and hardly ever end alike.
TAIL = 256  # bytes


def overlapping_images(
    labeled: Iterable[str | Path], unlabeled: Iterable[str | Path]
) -> list[tuple[Path, Path]]:
    """Return the pairs of a labeled and an unlabeled path that are the same file or image.

    The same file by whatever path, links resolved, or a copy with the same bytes. Files are read
    whole only where a labeled and an unlabeled one have the same size and the same end. Files
    that do not exist are passed over: loading them says more.
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
