"""Find the image of a label image by its name."""

from collections.abc import Iterable
from pathlib import Path

# Ends of the names of label images; cellpose writes the first one.
ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label")
# End of the name of an image whose label image is NAME_masks, as cellpose's training data have it.
IMAGE_ENDING = "_img"


def stem(name: str) -> str:
    """Return a path without its suffix."""
    return str(Path(name).with_suffix(""))


def image_stem(name: str) -> str:
    """Return the path of a label image without its suffix and ending."""
    whole = stem(name)
    return next((whole.removesuffix(end) for end in ENDINGS if whole.endswith(end)), whole)


def images_by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the images for each path that a label image can have, without its ending."""
    found: dict[str, list[str]] = {}
    for name in names:
        for key in {stem(name), stem(name).removesuffix(IMAGE_ENDING)}:
            found.setdefault(key, []).append(name)
    return found


def label_images_among(names: Iterable[str]) -> set[str]:
    """Return the files that are label images of other files, such as a_masks.png next to a.jpg."""
    names = list(names)
    images = images_by_stem(names)
    return {name for name in names if image_stem(name) != stem(name) and image_stem(name) in images}
