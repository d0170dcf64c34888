"""Rasterize Cityscapes' polygons to the instance image that cityscapesScripts would write."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from nbseg.datasets.converters.trees import in_documented_format
from nbseg.files import read_json

# Label names in the order of their ids, from 0 (cityscapesScripts, helpers/labels.py).
LABELS = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic",
    "ground", "road", "sidewalk", "parking", "rail track", "building", "wall", "fence",
    "guard rail", "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan",
    "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
FIRST_WITH_INSTANCES = LABELS.index("person")
NOT_DRAWN = "license plate"
# The images have 2048 x 1024 pixels; a damaged size in a file must not use up the memory.
LARGEST_SIDE = 8192


def rasterize_polygons(path: Path) -> npt.NDArray[Any]:
    """Return the instance image of a ``*_polygons.json``, shape (H, W), int32.

    The image equals the result of ``json2instanceImg`` in cityscapesScripts 2.3. The polygons are
    drawn in the order of the file, so later polygons cover earlier polygons. The values are:

    - ``1000 * id + n`` in an object of a class with instances. Here id is the label id of the
      class, and n counts the objects of this class from 0.
    - The label id in groups (such as ``cargroup``) and in polygons of other classes.
    - 0 outside all polygons.

    Deleted objects and license plates are neither drawn nor counted.

    Raises:
        ValueError: the file is not in Cityscapes' format, a label is unknown to Cityscapes, or a
            polygon has fewer than two points.
    """
    with in_documented_format(path):
        return _draw(read_json(path))


def _draw(content: Any) -> npt.NDArray[Any]:
    size = content["imgWidth"], content["imgHeight"]
    if not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in size):
        raise ValueError(
            f"expected imgWidth and imgHeight of 1 to {LARGEST_SIDE} pixels, found {size}"
        )
    image = Image.new("I", size, 0)
    draw = ImageDraw.Draw(image)
    seen = dict.fromkeys(LABELS, 0)
    for position, item in enumerate(content["objects"]):
        label = item["label"]
        if item.get("deleted") or label == NOT_DRAWN:
            continue
        group = label not in seen and label.endswith("group")
        if group:
            label = label.removesuffix("group")
        if label not in seen:
            raise ValueError(
                f"objects[{position}] has the label {item['label']!r}, which Cityscapes does not "
                "define"
            )
        number = LABELS.index(label)
        if number >= FIRST_WITH_INSTANCES and not group:
            number = 1000 * number + seen[label]
            seen[label] += 1
        if len(item["polygon"]) < 2:
            raise ValueError(
                f"the polygon of objects[{position}] ({label}) has {len(item['polygon'])} points; "
                "expected at least 2"
            )
        draw.polygon([tuple(point) for point in item["polygon"]], fill=number)
    return np.array(image)
