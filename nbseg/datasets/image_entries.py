"""List image files in the form of a COCO json."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbseg.image_headers import image_size
from nbseg.image_options import DEFAULTS, ImageOptions


def image_entries(
    folder: Path, names: Iterable[str], options: ImageOptions = DEFAULTS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return COCO image entries, whose ids count from 1, and the images that cannot be read.

    Args:
        folder: folder of the images.
        names: paths of the images, relative to ``folder``.
        options: channels, plane and level with which a training reads the images.

    Returns:
        The entries of the readable images, and the names of the others. The id of an image is its
        position among all names.
    """
    entries, unreadable = [], []
    for number, name in enumerate(names, start=1):
        if size := image_size(folder / name, options):
            entry = {"id": number, "file_name": name, "height": size[0], "width": size[1]}
            entries.append(entry)
        else:
            unreadable.append(name)
    return entries, unreadable
