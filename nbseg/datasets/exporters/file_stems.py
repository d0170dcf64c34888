"""Choose distinct names for files that are written for images, such as one json per image."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nbseg.files import relative_name


def file_stems(names: Sequence[str], images: Path) -> list[str]:
    """Return a path without a suffix for each image; all paths differ, and none contains ``..``.

    Args:
        names: paths of the images, relative to ``images`` or absolute, in any folder.
        images: folder of the images.

    Returns:
        For each image, its path relative to ``images`` without the suffix. The path keeps the
        suffix if another image differs only by its suffix. If the image is outside ``images``, all
        ``..`` are removed from the path.

    Raises:
        ValueError: two images would have the same path.
    """
    inside = [
        Path(*(part for part in Path(relative_name(images / name, images)).parts if part != ".."))
        for name in names
    ]
    stems = [path.with_suffix("").as_posix() for path in inside]
    counts = Counter(stems)
    paths = [
        stem if counts[stem] == 1 else path.as_posix()
        for stem, path in zip(stems, inside, strict=True)
    ]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ValueError(
            "cannot write one file per image: the files for the images "
            f"{' and '.join(n for n, p in zip(names, paths, strict=True) if p == twice[0])} would "
            f"both have the name {twice[0]}; rename one of these images"
        )
    return paths
