"""Check a COCO json and its images for errors before training."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg._native import crops_from_rle
from nbseg.coco import read_coco
from nbseg.datasets.converters.coco_json import Prepared, Summary
from nbseg.datasets.converters.parallel import parallel_map
from nbseg.images import image_header

# Largest distance in pixels between a box and its mask: COCO's boxes enclose polygons, not pixels.
TOLERANCE = 2.0
# Fields whose values must be unique within a list.
UNIQUE = (
    ("images", "id", "an id"),
    ("annotations", "id", "an id"),
    ("categories", "id", "an id"),
    ("images", "file_name", "a name"),
    ("categories", "name", "a name"),
)

# Begins the kinds that are reported, but are no problems.
NOTE = "note: "

# The kind of a problem, and the image or annotation that has the problem.
Problem = tuple[str, str]


def check_coco(
    path: Path, image_folder: Path, workers: int = 1
) -> tuple[Prepared, dict[str, list[str]]]:
    """Find the problems of a COCO json that would stop or mislead a training.

    Only the headers of images are read. An annotation may have a box and no ``segmentation``.

    Args:
        path: a COCO json.
        image_folder: folder of the json's images.
        workers: number of processes.

    Returns:
        The content of the json, with notes on images that are not read whole, and for each kind of
        problem the images and annotations with it.

    Raises:
        FileNotFoundError: the json or the folder does not exist.
        ValueError: the file is not a COCO json.
    """
    if not image_folder.is_dir():
        raise FileNotFoundError(f"there is no image folder {image_folder}; correct the path")
    # read_coco must not refuse an inconsistent json: the problems are reported together below.
    content = read_coco(path, consistent=False)
    problems: dict[str, list[str]] = defaultdict(list)
    for key, field, what in UNIQUE:
        for value, count in Counter(item[field] for item in content[key]).items():
            if count > 1:
                problems[f"{key} that share {what}"].append(f"{count} {key} have {field} {value}")
    images = {image["id"]: image for image in content["images"]}
    names = {category["id"]: category["name"] for category in content["categories"]}
    grouped: dict[Any, list[dict[str, Any]]] = {number: [] for number in images}
    for annotation in content["annotations"]:
        text = f"annotation {annotation['id']}"
        if annotation["id"] == 0:
            problems["annotations with the id 0, which COCO reads as no match"].append(text)
        if annotation["image_id"] not in images:
            problems["annotations of unknown images"].append(
                f"{text}: image {annotation['image_id']}"
            )
        elif annotation["category_id"] not in names:
            problems["annotations of unknown categories"].append(
                f"{text}: category {annotation['category_id']}"
            )
        else:
            grouped[annotation["image_id"]].append(annotation)

    summary = Summary()
    items = [(image, grouped[number]) for number, image in images.items()]
    for image, annotations in items:
        summary.add(image, annotations, names, len(items))
    look = partial(_problems_of, image_folder)
    for found in parallel_map(look, items, workers, f"checking {path.name}"):
        for kind, which in found:
            problems[kind].append(which)
    notes = [
        f"{len(problems[kind])} images {kind.removeprefix(NOTE)}, the first: {problems[kind][0]}"
        for kind in sorted(problems)
        if kind.startswith(NOTE)
    ]
    problems = {kind: which for kind, which in problems.items() if not kind.startswith(NOTE)}
    return Prepared(path, image_folder, content["categories"], summary, notes=notes), problems


def _problems_of(
    folder: Path, item: tuple[dict[str, Any], Sequence[dict[str, Any]]]
) -> list[Problem]:
    image, annotations = item
    name, wanted = image["file_name"], (image["height"], image["width"])
    path = folder / name
    found: list[Problem] = []
    try:
        header = image_header(path)
    except FileNotFoundError:
        found.append(("images that are missing", str(path)))
    except (OSError, ValueError) as error:
        found.append(("images that cannot be read", str(error)))
    else:
        found += [(NOTE + note, name) for note in header.notes()]
        if header[:2] != wanted:
            text = f"{name}: {header.width}x{header.height}, {wanted[1]}x{wanted[0]} in the json"
            found.append(("images of another size", text))
    for annotation in annotations:
        kind = _problem_of(annotation, *wanted)
        if kind:
            found.append((kind, f"annotation {annotation['id']} of {name}"))
    return found


def _problem_of(annotation: dict[str, Any], height: int, width: int) -> str | None:
    try:
        x, y, w, h = (float(value) for value in annotation["bbox"])
    except (TypeError, ValueError):
        return "boxes that are not four numbers"
    box = np.array([x, y, x + w, y + h])
    limits = np.array([0, 0, width, height])
    if not np.isfinite(box).all() or w <= 0 or h <= 0:
        return "boxes without area"
    # MMDetection's data set drops boxes below one pixel and fails on annotations without an area.
    if w < 1 or h < 1:
        return "boxes less than a pixel wide or high"
    if (annotation.get("area") or 0) <= 0:
        return "annotations without an area"
    if (box[:2] < -TOLERANCE).any() or (box[2:] > limits[2:] + TOLERANCE).any():
        return "boxes that leave the image"
    mask = annotation.get("segmentation")
    if not mask:
        return None
    if isinstance(mask, list):
        if not all(map(_has_area, mask)):
            return "degenerate polygons"
        points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in mask])
        # COCO's boxes enclose the part of an object inside the image.
        tight = np.concatenate([points.min(axis=0), points.max(axis=0)])
        tight = np.clip(tight, 0, np.tile(limits[2:], 2))
    else:
        crop = _crop(mask, height, width)
        if crop is None:
            return "run lengths that do not fit the image"
        if not crop[2:].all():
            return "empty masks"
        tight = np.concatenate([crop[:2], crop[:2] + crop[2:]])
    return "boxes that do not fit their masks" if (abs(box - tight) > TOLERANCE).any() else None


def _has_area(polygon: Any) -> bool:
    """Return whether a flat [x0, y0, x1, y1, ...] has at least three points and an area."""
    try:
        points = np.asarray(polygon, float)
    except (TypeError, ValueError):
        return False
    if points.ndim != 1 or points.size < 6 or points.size % 2 or not np.isfinite(points).all():
        return False
    x, y = points.reshape(-1, 2).T
    return bool(abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) > 0)


def _crop(rle: dict[str, Any], height: int, width: int) -> npt.NDArray[Any] | None:
    """Return the tight (x, y, w, h) of a run-length encoding; None if its size differs."""
    try:
        counts = rle["counts"]
        if list(rle["size"]) != [height, width]:
            return None
        if isinstance(counts, list):
            if sum(counts) != height * width or min(counts) < 0:
                return None
            counts = coco_mask.frPyObjects(rle, height, width)["counts"]
        encoded = counts.encode() if isinstance(counts, str) else counts
        return np.asarray(crops_from_rle([encoded], height, width)[2][0])
    except (KeyError, TypeError, ValueError):
        return None
