"""Find out by file names which image a label image belongs to.

The pixels of a label image hold the numbers of objects.
"""

from collections.abc import Iterable
from pathlib import Path

# The name of a label image may have one of these endings before the suffix. cellpose writes
# _cp_masks.
ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label")
# In cellpose's training data, the label image of the image NAME_img is NAME_masks.
IMAGE_ENDING = "_img"


def stem(name: str) -> str:
    """Return a path without its suffix."""
    return str(Path(name).with_suffix(""))


def image_stem(name: str) -> str:
    """Return the path of a label image without its suffix and without an ending of ``ENDINGS``."""
    whole = stem(name)
    return next((whole.removesuffix(end) for end in ENDINGS if whole.endswith(end)), whole)


def images_by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Group images by the stem that their label images can have: {stem: [image, ...]}.

    The stem of a label image is its :func:`image_stem`. For example, the label image of a_img.png
    can have the stems "a_img" and "a".
    """
    found: dict[str, list[str]] = {}
    for name in names:
        for key in {stem(name), stem(name).removesuffix(IMAGE_ENDING)}:
            found.setdefault(key, []).append(name)
    return found


def label_images_among(names: Iterable[str]) -> set[str]:
    """Return the names of the label images of other files in ``names``.

    For example, a_masks.png is the label image of a.jpg.
    """
    names = list(names)
    images = images_by_stem(names)
    return {name for name in names if image_stem(name) != stem(name) and image_stem(name) in images}
