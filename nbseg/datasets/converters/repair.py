"""Repair the annotations of a COCO json that another tool wrote."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from nbseg.coco import read_coco
from nbseg.coco_masks import require_size, to_rle
from nbseg.coco_tables import KEYS
from nbseg.coco_values import is_box
from nbseg.datasets.converters.coco_json import (
    Labeled,
    Prepared,
    is_prepared,
    source_record,
    write_coco_json,
)
from nbseg.datasets.converters.instance_map import annotation_of
from nbseg.datasets.converters.parallel import with_progress
from nbseg.datasets.converters.polygon_pixels import draw_centers, draw_edges


@dataclass(frozen=True)
class Repairs:
    """Chooses repairs that depend on the tool that wrote the json.

    Attributes:
        crowds: make an object of each crowd (``iscrowd`` 1). Several tools set ``iscrowd`` to 1 if
            an object has holes or several parts, or was painted with a brush.
        pixel_centers: fill polygons up to and including the pixels that they run through. COCO's
            polygons run along the edges of pixels. With COCO's rule, a polygon through the centers
            of the border pixels loses a row and a column.
        holes: make a hole of each polygon that lies inside another polygon of the same object. In
            COCO, the mask of an object is the union of its polygons, so that no polygon is a hole.
    """

    crowds: bool = False
    pixel_centers: bool = False
    holes: bool = False


def repair_coco(source: Path, out: Path, repairs: Repairs, force: bool = False) -> Prepared:
    """Write a COCO json with the same images, categories and masks, and with correct annotations.

    The masks become run lengths. Boxes and areas are computed from the masks, and annotations are
    numbered from 1. Annotations without a mask, with an empty mask, or of an unknown image or
    category are left out. Other keys of an annotation, such as ``ignore``, are kept. The notes of
    the result count all changes.

    Args:
        source: the json to repair. Its annotations need ``image_id`` and ``category_id`` only.
        out: path of the new json.
        repairs: repairs to make in addition to the repairs above.
        force: write the new json again, even if it exists.

    Returns:
        Path, counts and notes of the json. The counts (``summary``) are None if the json existed
        and was kept.

    Raises:
        FileNotFoundError: ``source`` does not exist.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: ``source`` is not a COCO json, is the same file as ``out``, or has a repeated id
            of an image or category, a segmentation that is neither polygons nor run lengths, or a
            mask of another size than its image.
    """
    if source.resolve() == out.resolve():
        raise ValueError(f"{out} is the json to repair; give another path for the new json (--out)")
    tables = ("images", "categories")
    content = read_coco(source, tables)
    annotations = content.get("annotations") or []
    known = [{entry["id"] for entry in content[table]} for table in tables]
    changes = Counter[str]()
    grouped = defaultdict(list)
    for annotation in annotations:
        if (
            annotation.get("image_id") not in known[0]
            or annotation.get("category_id") not in known[1]
        ):
            changes["annotations of unknown images or categories, left out"] += 1
        else:
            grouped[annotation["image_id"]].append(annotation)
    record = source_record(f"repaired, {asdict(repairs)}", source.parent, [source], [source])
    summary = None
    if not is_prepared(out, record, force):
        images = content["images"]

        def repaired() -> Iterator[Labeled]:
            for image in with_progress(images, len(images), "repairing"):
                found = (
                    _repair(annotation, image, repairs, source, changes)
                    for annotation in grouped[image["id"]]
                )
                yield image, [annotation for annotation in found if annotation]

        others = {key: value for key, value in content.items() if key not in (*KEYS, "info")}
        summary = write_coco_json(
            out, record, content["categories"], repaired(), len(images), others
        )
    notes = [f"{what}: {count}" for what, count in sorted(changes.items())]
    return Prepared(out, source.parent, content["categories"], summary, notes=notes)


def _repair(
    annotation: dict[str, Any],
    image: dict[str, Any],
    repairs: Repairs,
    source: Path,
    changes: Counter[str],
) -> dict[str, Any] | None:
    """Return the repaired annotation, or None if it is left out; count the changes."""
    height, width = image["height"], image["width"]
    segmentation = annotation.get("segmentation")
    if not segmentation:
        changes["annotations without a mask, left out"] += 1
        return None
    try:
        if isinstance(segmentation, list):
            rle = _fill(segmentation, height, width, repairs)
        else:
            rle = to_rle(segmentation, height, width)
    except ValueError as error:
        raise ValueError(
            f"{source}: the segmentation of annotation {annotation.get('id')} in "
            f"{image['file_name']} is neither a list of polygons nor a valid RLE ({error}); "
            "correct it or remove the annotation"
        ) from error
    require_size(rle, annotation, image, source)
    values = annotation_of(rle)
    if not values["area"]:
        changes["annotations with an empty mask, left out"] += 1
        return None
    crowd = int(bool(annotation.get("iscrowd")))
    if crowd and repairs.crowds:
        changes["crowds that are objects now"] += 1
        crowd = 0
    if annotation.get("area") != values["area"]:
        changes["areas that were missing or differed from the area of the mask"] += 1
    if not _close(annotation.get("bbox"), values["bbox"]):
        changes["boxes that were missing or more than a pixel away from the mask"] += 1
    kept = {
        key: value for key, value in annotation.items() if key not in ("id", "image_id", "iscrowd")
    }
    return {**kept, "iscrowd": crowd, **values}


def _close(box: Any, tight: list[float]) -> bool:
    if not is_box(box):
        return False
    given, expected = (np.array([x, y, x + w, y + h]) for x, y, w, h in (box, tight))
    return bool((abs(given - expected) <= 1).all())


def _fill(polygons: list[Any], height: int, width: int, repairs: Repairs) -> dict[str, Any]:
    """Return the compressed RLE of an object's polygons, with the chosen ``repairs``."""
    union = to_rle(polygons, height, width)  # raises if a polygon is malformed
    if not (repairs.pixel_centers or repairs.holes):
        return union
    draw = draw_centers if repairs.pixel_centers else draw_edges
    drawn = [draw(np.reshape(points, (-1, 2)), height, width) for points in polygons if points]
    # Larger polygons first, so that an island in a hole is added after the hole is cut out.
    drawn.sort(key=lambda layers: -int(layers[0].sum()))
    mask = np.zeros((height, width), bool)
    for position, (filled, interior) in enumerate(drawn):
        around = sum(
            not (filled & ~other).any() and (other & ~filled).any() for other, _ in drawn[:position]
        )
        if repairs.holes and around % 2:
            mask &= ~interior
        else:
            mask |= filled
    return dict(coco_mask.encode(np.asfortranarray(mask, np.uint8)))
