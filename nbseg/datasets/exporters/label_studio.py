"""Write tasks for Label Studio, with brush strokes that hold the masks without loss."""

import base64
import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np

from nbseg.datasets.converters.brush_rle import encode_brush
from nbseg.datasets.converters.label_studio import FILE_KEY, REGIONS_KEY
from nbseg.datasets.exporters.objects import Object
from nbseg.image_options import FOR_DISPLAY
from nbseg.images import read_image

# Formats that browsers show.
SHOWN = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def task_of(
    entry: dict[str, Any], objects: Iterable[Object], images: Path, url: str | None
) -> dict[str, Any]:
    """Return a Label Studio task whose prediction has a brush stroke for each object.

    The task's ``data`` holds the file name of the image and the ids of the regions, because Label
    Studio renames images and drops unknown keys of regions. By this name and these ids,
    :func:`nbseg.datasets.converters.label_studio.read_label_studio` finds the image and counts
    deleted objects.

    Args:
        entry: the image's entry in a COCO json, with the size of the image after its Exif rotation.
        objects: objects of the image.
        images: folder that the entry's file name is relative to.
        url: text before the file name in the address of the image, for example
            ``/data/local-files/?d=images/``. If None, the task contains the image.
    """
    name, height, width = entry["file_name"], entry["height"], entry["width"]
    regions = []
    for each in objects:
        mask = np.zeros((height, width), bool)
        rows, columns = each.mask.shape
        mask[each.top : each.top + rows, each.left : each.left + columns] = each.mask
        regions.append(
            {
                # Label Studio cannot open a task in which the id of a region is a number.
                "id": f"nbseg-{each.number}",
                "type": "brushlabels",
                "from_name": "label",
                "to_name": "image",
                # Without this key, corrected regions would count as new ones.
                "origin": "prediction",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": [each.label]},
                **({} if each.score is None else {"score": each.score}),
            }
        )
    scores = [region["score"] for region in regions if "score" in region]
    data = {
        "image": _contained(images / name) if url is None else f"{url}{name}",
        FILE_KEY: name,
        REGIONS_KEY: [region["id"] for region in regions],
    }
    prediction: dict[str, Any] = {"model_version": "nbseg", "result": regions}
    if scores:
        prediction["score"] = float(np.mean(scores))
    return {"data": data, "predictions": [prediction]}


def labeling_config(classes: Iterable[str]) -> str:
    """Return the labeling configuration (XML) of a Label Studio project.

    Args:
        classes: names of the classes that a person can choose from.
    """
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in classes)
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}\n  </BrushLabels>\n</View>\n'
    )


def _contained(path: Path) -> str:
    if path.suffix.lower() in SHOWN:
        kind, content = mimetypes.guess_type(path)[0], path.read_bytes()
    else:
        kind, content = (
            "image/png",
            cv2.imencode(".png", read_image(path, options=FOR_DISPLAY))[1].tobytes(),
        )
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
