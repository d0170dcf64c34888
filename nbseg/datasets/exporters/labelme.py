"""Write a json for labelme for each image, with masks that labelme shows without loss."""

import base64
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nbseg.datasets.exporters.objects import Object
from nbseg.files import write_json


def write_labelme(
    entry: dict[str, Any], objects: Iterable[Object], images: Path, path: Path
) -> None:
    """Write the json that labelme opens for an image.

    labelme 6 refuses a json if it has no key ``imageData``, or if ``group_id`` is a string.

    Args:
        entry: the image's entry in a COCO json.
        objects: objects of the image.
        images: folder that the entry's file name is relative to.
        path: the json to write.
    """
    shapes: list[dict[str, Any]] = [
        {
            "label": each.label,
            # The first and the last pixel of the crop: labelme counts both as part of the mask.
            "points": [
                [each.left, each.top],
                [each.left + each.mask.shape[1] - 1, each.top + each.mask.shape[0] - 1],
            ],
            "group_id": None,
            "description": "",
            "shape_type": "mask",
            "flags": {},
            "mask": _png(each),
            **({} if each.score is None else {"score": each.score}),
        }
        for each in objects
    ]
    image = os.path.relpath(images / entry["file_name"], path.parent)
    content = {
        "version": "6.3.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": entry["height"],
        "imageWidth": entry["width"],
    }
    write_json(path, content, indent=2)


def _png(each: Object) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.where(each.mask, np.uint8(255), np.uint8(0))).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()
