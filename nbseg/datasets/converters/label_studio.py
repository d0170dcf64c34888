"""Read the jsons that Label Studio exports in its format "JSON"."""

import base64
import io
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from nbseg.datasets.converters.brush_rle import decode_brush
from nbseg.datasets.converters.drawings import Drawing, Drawings, Drawn, reason
from nbseg.datasets.converters.drawn_shapes import (
    Bitmap,
    Ellipse,
    Polygon,
    Shape,
    rectangle,
    ring_of,
)
from nbseg.datasets.converters.find_images import ImageFinder
from nbseg.image_names import IMAGE_SUFFIXES
from nbseg.structures.mask_conversions import tight_box

# A type of region begins with one of these words: "brush" stands for "brush" and "brushlabels".
SHAPES = ("brush", "bitmask", "polygon", "rectangle", "ellipse")
# Key in a task's data that holds the path of the image, because Label Studio renames uploads.
FILE_KEY = "file_name"
# Key in a task's data that holds the ids of the regions that nbseg exported for correction.
REGIONS_KEY = "nbseg_regions"
# Values of the key "origin" in regions that were exported as predictions, and their descriptions.
ORIGINS = {"prediction": "unchanged objects", "prediction-changed": "changed objects"}
# Label Studio writes eight letters and a hyphen before the name of an uploaded image.
PREFIX = 9


def read_label_studio(tasks: list[Any], path: Path, finder: ImageFinder) -> Drawings:
    """Return the brush strokes, bit masks, polygons, rectangles and ellipses of each image.

    In Label Studio, an annotation holds all regions that a person drew in an image. For each image,
    the newest annotation that nobody canceled counts. An image without such an annotation is left
    out. Regions of other types and regions without a pixel are left out and counted.

    Args:
        tasks: content of the json.
        path: path of the json, for messages.
        finder: finds images by the names in the json.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: the json is in another format of Label Studio, or a region is malformed.
    """
    left_out, origins = Counter[str](), Counter[str]()
    newest: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    older = 0
    for task in tasks:
        if not isinstance(task, dict) or not isinstance(task.get("annotations"), list):
            raise ValueError(
                f"{path} has tasks without a list 'annotations'; export the labels from Label "
                'Studio in the format "JSON", not "JSON-MIN"'
            )
        done = [entry for entry in task["annotations"] if not entry.get("was_cancelled")]
        if not done:
            left_out["tasks without an annotation"] += 1
            continue
        data = task.get("data") or {}
        image = _image_of(data, path, finder)
        for entry in done:
            time = str(entry.get("updated_at") or entry.get("created_at") or "")
            older += image in newest
            if image in newest and newest[image][0] > time:
                continue
            newest[image] = time, entry, data
    drawings = [
        _drawing(entry, image, path, left_out, origins, data)
        for image, (_, entry, data) in newest.items()
    ]
    notes = [f"older annotations of the same image, left out: {older}"] * bool(older)
    notes += [f"{name}: {count}" for name, count in sorted(origins.items())]
    return Drawings("Label Studio", drawings, [path], left_out, notes)


def _image_of(data: dict[str, Any], path: Path, finder: ImageFinder) -> str:
    """Return the path of a task's image, relative to the image folder."""
    if isinstance(given := data.get(FILE_KEY), str):
        return finder.find(given, path)
    for value in data.values():
        if not isinstance(value, str) or value.startswith("data:"):
            continue
        url = urlsplit(value)
        # The URL of a local file has the path in its query: /data/local-files/?d=folder/a.png
        name = parse_qs(url.query).get("d", [unquote(url.path)])[0]
        if PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES:
            continue
        stored = PurePosixPath(name).name
        uploaded = len(stored) > PREFIX and stored[PREFIX - 1] == "-" and "/upload/" in name
        if not uploaded or stored in finder.file_names:
            return finder.find(name.lstrip("/"), path)
        # In the names of uploads, Label Studio also replaces spaces and drops some characters.
        original = [found for found in finder.file_names if _slug(found) == stored[PREFIX:]]
        return finder.find(original[0] if len(original) == 1 else stored[PREFIX:], path)
    raise ValueError(
        f"{path}: a task does not name its image: its data have the keys {', '.join(data) or '-'}; "
        f"add the key {FILE_KEY!r} with the name of the image"
    )


def _slug(name: str) -> str:
    return re.sub(r"[^-\w.]", "", name.replace(" ", "_"))


def _drawing(
    entry: dict[str, Any],
    image: str,
    path: Path,
    left_out: Counter[str],
    origins: Counter[str],
    data: dict[str, Any],
) -> Drawing:
    regions = [region for region in entry.get("result") or () if isinstance(region, dict)]
    images = {region.get("to_name") for region in regions if "original_width" in region}
    if len(images) > 1:
        raise ValueError(
            f"{path}: the task of {image} has several images; expected one image in each task. "
            "Remove this task from the json"
        )
    # With separate tools for shape and class, a second region with the same id has the class.
    labels = {region.get("id"): _class_of(region) for region in regions if _class_of(region)}
    labels.pop(None, None)
    drawn, size = [], None
    given = set(map(str, data.get(REGIONS_KEY) or ()))
    kept = set()
    for region in regions:
        kind = str(region.get("type"))
        if kind == "labels":
            continue
        if not kind.startswith(SHAPES):
            left_out[f"regions of the type {kind}"] += 1
            continue
        where = f"region {region.get('id')} of {image}"
        try:
            if region.get("image_rotation"):
                raise ValueError("the image was rotated in the editor; rotate the image back")
            width, height = int(region["original_width"]), int(region["original_height"])
            shape = _shape(region["value"], kind, height, width)
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise ValueError(
                f"{path}: {where} is a malformed {kind} ({reason(error)}); correct or delete it in "
                "Label Studio"
            ) from error
        if shape is None:
            left_out["regions without a pixel"] += 1
            continue
        size = height, width
        if region.get("origin") in ORIGINS:
            origins[ORIGINS[region["origin"]]] += 1
            kept.add(str(region.get("id")))
        elif given:
            origins["new objects"] += 1
        drawn.append(Drawn(_class_of(region) or labels.get(region.get("id")), shape, where))
    if deleted := len(given - kept):
        origins["deleted objects"] += deleted
    return Drawing(image, path, drawn, size)


def _shape(value: dict[str, Any], kind: str, height: int, width: int) -> Shape | None:
    """Return the shape of a region, or None if the mask is empty, for example after an erasure.

    The region's coordinates are in percent of the image's width and height.
    """
    scale = np.array((width, height)) / 100
    if kind.startswith("brush"):
        if not value.get("rle"):
            return None
        return _cropped(decode_brush(value["rle"], height, width))
    if kind.startswith("bitmask"):
        mask = _decode_png(value["imageDataURL"])
        if mask.shape != (height, width):
            raise ValueError(
                f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels; expected "
                f"{width} x {height}"
            )
        return _cropped(mask)
    if kind.startswith("polygon"):
        return Polygon((ring_of(value["points"]) * scale,))
    angle = float(value.get("rotation") or 0)
    x, y = np.array((value["x"], value["y"]), np.float64) * scale
    if kind.startswith("rectangle"):
        w, h = np.array((value["width"], value["height"]), np.float64) * scale
        return rectangle(x, y, w, h, angle)
    a, b = np.array((value["radiusX"], value["radiusY"]), np.float64) * scale
    return Ellipse((x, y), (a, b), angle)


def _class_of(region: dict[str, Any]) -> str | None:
    """Return the class that a region names under a key such as ``brushlabels``, or None."""
    kind, value = str(region.get("type")), region.get("value")
    names = value.get(kind) if isinstance(value, dict) and kind.endswith("labels") else None
    return str(names[0]) if names else None


def _cropped(mask: npt.NDArray[np.bool_]) -> Bitmap | None:
    """Return the crop of a mask to its foreground, or None if the mask is empty."""
    left, top, right, bottom = tight_box(mask)
    return Bitmap(mask[top:bottom, left:right].copy(), top, left) if right else None


def _decode_png(url: str) -> npt.NDArray[np.bool_]:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    opaque = pixels[..., 3] > 127
    if not opaque.all():
        return opaque
    mask: npt.NDArray[np.bool_] = pixels[..., :3].max(axis=2) > 127
    if not mask.any():
        raise ValueError("all pixels of its PNG are black and opaque, so its mask is lost")
    return mask
