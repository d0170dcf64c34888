"""List image files in the form of a COCO json."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbseg.image_headers import image_size
from nbseg.image_options import DEFAULTS, ImageOptions


def image_entries(
    folder: Path, names: Iterable[str], options: ImageOptions = DEFAULTS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Make the table ``images`` of a COCO json, and find the images that cannot be read.

    Args:
        folder: folder of the images.
        names: paths of the images, relative to ``folder``.
        options: channels, plane and level with which a training reads the images.

    Returns:
        ``(entries, unreadable)``. ``entries`` has a dictionary with ``id``, ``file_name``,
        ``height`` and ``width`` for each readable image. The id is the position of the image in
        ``names``, counted from 1. ``unreadable`` lists the names of the other images.
    """
    entries, unreadable = [], []
    for number, name in enumerate(names, start=1):
        if size := image_size(folder / name, options):
            entry = {"id": number, "file_name": name, "height": size[0], "width": size[1]}
            entries.append(entry)
        else:
            unreadable.append(name)
    return entries, unreadable
