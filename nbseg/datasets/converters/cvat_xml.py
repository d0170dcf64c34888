"""Read the XML files that CVAT exports in its format "CVAT for images"."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from nbseg.datasets.converters.drawings import Drawing, Drawings, Drawn, reason, whole_size
from nbseg.datasets.converters.drawn_shapes import (
    Bitmap,
    Ellipse,
    Polygon,
    Shape,
    rectangle,
    ring_of,
)
from nbseg.datasets.converters.find_images import ImageFinder

SHAPES = ("polygon", "box", "ellipse", "mask")


def read_cvat(path: Path, finder: ImageFinder, keep_empty: bool = False) -> Drawings:
    """Return the polygons, boxes, ellipses and masks of each image in a CVAT file.

    Shapes with the same label and the same ``group_id`` are parts of one object. Lines, points and
    other shapes are left out and counted.

    Args:
        path: the file.
        finder: finds images by the names in the file.
        keep_empty: whether to keep images without shapes, as labeled images without objects. If
            False, these images are left out and counted, because CVAT also exports images that
            nobody has labeled yet.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: the file is not in this format, or a shape is malformed.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(
            f"{path} cannot be read as XML ({error}); export the labels again"
        ) from error
    if root.tag != "annotations" or root.find("track") is not None or root.find("image") is None:
        raise ValueError(
            f'{path} is not a file with images in the format "CVAT for images 1.1"; export the '
            "labels from CVAT in this format. Pascal VOC files have boxes without masks, so they "
            "cannot be imported"
        )
    drawings, left_out, empty = [], Counter[str](), 0
    for image in root.iter("image"):
        name = image.get("name", "")
        size = whole_size(image.get("height"), image.get("width"), path)
        drawn = []
        for element in image:
            if element.tag in SHAPES:
                drawn.append(_drawn(element, name, path, size))
            elif element.tag != "tag":
                left_out[f"shapes of the type {element.tag}"] += 1
        if not len(image) and not keep_empty:
            empty += 1
            continue
        drawings.append(Drawing(finder.find(name, path), path, drawn, size))
    classes = [name.text or "" for name in root.findall(".//labels/label/name")]
    notes = [f"images without shapes, left out (--keep-empty keeps them): {empty}"] * bool(empty)
    known = list(dict.fromkeys(classes))
    return Drawings("CVAT", drawings, [path], left_out, notes, classes=known)


def _drawn(
    element: ElementTree.Element, name: str, path: Path, size: tuple[int, int] | None
) -> Drawn:
    group = element.get("group_id")
    try:
        return Drawn(
            element.attrib["label"],
            _shape(element, size),
            f"a shape of the type {element.tag} in {name}",
            None if group in (None, "0") else group,
        )
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: a shape of the type {element.tag} in {name} is malformed ({reason(error)}); "
            "correct or delete it in CVAT"
        ) from error


def _shape(element: ElementTree.Element, size: tuple[int, int] | None) -> Shape:
    def numbers(*keys: str) -> list[float]:
        values = [float(element.attrib[key]) for key in keys]
        if not np.isfinite(values).all():
            raise ValueError(f"{', '.join(keys)} must be finite numbers, found {values}")
        return values

    angle = float(element.get("rotation", 0))
    if element.tag == "polygon":
        pairs = [point.split(",") for point in element.attrib["points"].split(";")]
        return Polygon((ring_of(pairs),))
    if element.tag == "box":
        x0, y0, x1, y1 = numbers("xtl", "ytl", "xbr", "ybr")
        return rectangle(x0, y0, x1 - x0, y1 - y0, angle, "center")
    if element.tag == "ellipse":
        x, y, a, b = numbers("cx", "cy", "rx", "ry")
        return Ellipse((x, y), (a, b), angle)
    left, top, width, height = map(int, numbers("left", "top", "width", "height"))
    if size and not (0 <= top <= size[0] - height and 0 <= left <= size[1] - width):
        raise ValueError(
            f"the mask of {width} x {height} pixels at column {left} and row {top} extends beyond "
            f"the image of {size[1]} x {size[0]} pixels"
        )
    # Lengths of runs row by row; the first run is background.
    runs = np.array(element.attrib["rle"].split(","), np.int64)
    if runs.min() < 0 or runs.sum() != width * height:
        raise ValueError(
            f"the mask's runs add up to {runs.sum()} pixels; expected {width} x {height} pixels "
            "and no negative run"
        )
    return Bitmap(
        np.repeat(np.arange(len(runs)) % 2 > 0, runs).reshape(height, width), int(top), int(left)
    )
