"""Images that lie in the labelled and in the unlabelled set at once."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from nbseg.files import file_hash


def overlapping_images(
    labelled: Iterable[str | Path], unlabelled: Iterable[str | Path]
) -> list[tuple[Path, Path]]:
    """Return the pairs of a labelled and an unlabelled path that are the same file or image.

    The same file by whatever path, links resolved, or a copy with the same bytes. Files are read
    only where a labelled and an unlabelled one have the same size. Files that do not exist are
    passed over: loading them says more.
    """
    of_size: dict[int, list[Path]] = defaultdict(list)
    for path in map(Path, labelled):
        if path.exists():
            of_size[path.stat().st_size].append(path)
    hashes: dict[Path, str] = {}

    def content(path: Path) -> str:
        real = path.resolve()
        if real not in hashes:
            hashes[real] = file_hash(real)
        return hashes[real]

    pairs = []
    for path in map(Path, unlabelled):
        twins = of_size.get(path.stat().st_size, []) if path.exists() else []
        pairs += [
            (twin, path)
            for twin in twins
            if twin.resolve() == path.resolve() or content(twin) == content(path)
        ]
    return pairs
