"""Find out by file names which image a label image belongs to.

A label image holds masks: the value of a pixel is the number of the object there.
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
    """Return the path of a label image without its suffix and without an ending such as "_masks".

    The endings are _cp_masks, _masks, _mask, _labels and _label. For example, the stem of
    "a_masks.png" is "a". A path without such an ending loses only its suffix.
    """
    whole = stem(name)
    return next((whole.removesuffix(end) for end in ENDINGS if whole.endswith(end)), whole)


def images_by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Group images by the stems that their label images can have, as {stem: [image, ...]}.

    The stem of a label image is the result of :func:`image_stem`. The label image of an image has
    the same stem as the image, or this stem without the ending "_img". For example, the label image
    of a_img.png can be a_img_masks.png (stem "a_img") or a_masks.png (stem "a").
    """
    found: dict[str, list[str]] = {}
    for name in names:
        for key in {stem(name), stem(name).removesuffix(IMAGE_ENDING)}:
            found.setdefault(key, []).append(name)
    return found


def label_images_among(names: Iterable[str]) -> set[str]:
    """Return the names of those files that are label images of other files in ``names``.

    Such a name has an ending such as "_masks", and the rest of the name belongs to another file.
    For example, a_masks.png is the label image of a.jpg if ``names`` contains both.
    """
    names = list(names)
    images = images_by_stem(names)
    return {name for name in names if image_stem(name) != stem(name) and image_stem(name) in images}
