"""Convert values of COCO jsons to the types that training and evaluation need."""

from collections.abc import Mapping, Sequence
from math import isfinite
from sys import float_info
from typing import Any

from nbseg.coco_masks import is_list_of_pairs, is_polygon, to_rle

Entry = dict[str, Any]  # an image, annotation or category of a COCO json

# COCO's evaluation keeps ids as float64, which is exact for whole numbers up to this size only.
LARGEST_ID = 2**53
# Largest width and height of an image that OpenCV decodes, in pixels.
LONGEST_SIDE = 2**20
# Id of an annotation's image or category if the json has no such entry.
UNKNOWN = -1


def normalize(content: dict[str, Any], path: object) -> None:
    """Convert ids, sizes, boxes, areas and flags of a COCO json to numbers, in place.

    A string that holds a number becomes this number. The flags ``iscrowd`` and ``ignore`` become 0
    if they are 0, false, null, or one of the strings "", "no" and "false". All other flags become
    1. Absent keys stay absent.

    Ids must be whole numbers from -2**53 to 2**53. If one of the lists ``images``, ``categories``
    and ``annotations`` has any other id, all its entries get the new ids 1, 2, ... in the order of
    the list. Annotations then refer to the new ids, or to -1 if no entry has the old id.

    Args:
        content: the parsed json; each of the three lists may be missing.
        path: path of the json, for messages.

    Raises:
        ValueError: the height or width of an image is not a whole number of pixels from 1 to 2**20.
    """
    images, categories = content.get("images") or [], content.get("categories") or []
    annotations = content.get("annotations") or []
    for image in images:
        for key in ("height", "width"):
            if key in image:
                image[key] = _size(image, key, path)
    for annotation in annotations:
        if "bbox" in annotation:
            annotation["bbox"] = _box(annotation["bbox"])
        for key in ("iscrowd", "ignore"):
            if key in annotation:
                annotation[key] = int(_is_set(annotation[key]))
        if isinstance(annotation.get("area"), str):
            annotation["area"] = as_number(annotation["area"])
    for table, reference in ((images, "image_id"), (categories, "category_id")):
        numbers = _number_entries(table)
        for annotation in annotations:
            if reference in annotation:
                found = canonical_id(annotation[reference])
                annotation[reference] = numbers.get(found, UNKNOWN) if numbers else found
    _number_entries(annotations)


def as_number(value: Any) -> Any:
    """Convert "2.5" to 2.5, and "2" and 2.0 to 2. Any other value is returned unchanged."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and isfinite(value) and value.is_integer():
        return int(value)
    return value


def canonical_id(value: Any) -> Any:
    """Convert an id such as "7" or 7.0 to the int 7.

    The id "007" stays a string, because the id "7" may belong to another entry.
    """
    if isinstance(value, str):
        number = as_number(value)
        return number if str(number) == value else value
    return as_number(value) if isinstance(value, float) else value


def has_mask(annotation: Mapping[str, Any]) -> bool:
    """Tell whether an annotation has run lengths, or a polygon of at least three points."""
    mask = annotation.get("segmentation")
    if isinstance(mask, list):
        return any(map(is_polygon, mask))
    return isinstance(mask, dict) and bool(mask.get("counts")) and "size" in mask


def has_broken_polygon(annotation: Mapping[str, Any]) -> bool:
    """Tell whether an annotation has a polygon that is not a flat list x0, y0, x1, y1, …"""
    mask = annotation.get("segmentation")
    return isinstance(mask, list) and not all(map(is_list_of_pairs, mask))


def reason_left_out(annotation: Mapping[str, Any]) -> str | None:
    """Return the reason why training leaves out an annotation, such as "without a mask".

    Args:
        annotation: an annotation after :func:`normalize`.

    Returns:
        The reason, a phrase that can follow "3 annotations are". None if training uses the
        annotation.
    """
    if annotation.get("iscrowd"):
        return "crowds (iscrowd 1)"
    if annotation.get("ignore"):
        return "ignored (ignore 1)"
    if not has_mask(annotation):
        return "without a mask"
    box = annotation["bbox"]
    if not is_box(box) or box[2] < 1 or box[3] < 1 or area_of(annotation) <= 0:
        return "smaller than a pixel or without an area"
    return None


def is_box(box: Any) -> bool:
    """Tell whether a value is a list of four numbers from -2**20 to 2**20."""
    return isinstance(box, list) and len(box) == 4 and is_list_of_pairs(box)


def is_number(value: object) -> bool:
    """Tell whether a value of a json is a finite number."""
    # Python's whole numbers may be larger than any float.
    return isinstance(value, (int, float)) and abs(value) <= float_info.max


def area_of(annotation: Mapping[str, Any]) -> float:
    """Return the area of an annotation in pixels.

    If the key ``area`` is absent or null, the area is computed from the mask. The areas of
    several polygons are added. Without a mask, the area of the box is returned. An invalid value of
    ``area``, an invalid RLE and an invalid box give 0.
    """
    if annotation.get("area") is not None:
        return float(annotation["area"]) if is_number(annotation["area"]) else 0.0
    mask = annotation.get("segmentation")
    if isinstance(mask, list) and has_mask(annotation):
        return sum(polygon_area(polygon) for polygon in mask if is_polygon(polygon))
    if isinstance(mask, dict) and has_mask(annotation):
        from pycocotools import mask as coco_mask

        try:
            return float(coco_mask.area(to_rle(mask, 0, 0)))
        except ValueError:  # The run lengths are invalid.
            return 0.0
    box = annotation["bbox"]
    return float(box[2]) * float(box[3]) if is_box(box) else 0.0


def polygon_area(polygon: Sequence[float]) -> float:
    """Return the area of a polygon [x0, y0, x1, y1, ...] by the shoelace formula."""
    xs, ys = polygon[0::2], polygon[1::2]
    pairs = zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for x0, y0, x1, y1 in pairs)) / 2


def _number_entries(table: list[Entry]) -> dict[Any, int]:
    """Make the ids of a table whole numbers, in place, and return {old id: new id}.

    If all ids are whole numbers, or strings such as "7" (which becomes 7), the numbers are kept,
    and the result is empty.
    """
    ids = [canonical_id(entry.get("id")) for entry in table]
    if all(type(number) is int and abs(number) <= LARGEST_ID for number in ids):
        numbers: dict[Any, int] = {}
    else:
        numbers = {old: new for new, old in enumerate(dict.fromkeys(ids), start=1)}
    for entry, number in zip(table, ids, strict=True):
        if "id" in entry:
            entry["id"] = numbers.get(number, number)
    return numbers


def _size(image: Entry, key: str, path: object) -> int:
    value = as_number(image[key])
    if type(value) is not int or not 1 <= value <= LONGEST_SIDE:
        raise ValueError(
            f"{path}: image {image.get('id')} has the {key} {image[key]!r}; expected a whole "
            f"number of pixels from 1 to {LONGEST_SIDE}. Correct this value"
        )
    return value


def _is_set(flag: Any) -> bool:
    if isinstance(flag, str) and flag.strip().lower() in ("", "false", "no"):
        return False
    return bool(as_number(flag))


def _box(box: Any) -> Any:
    if not isinstance(box, list):
        return [] if box is None else box
    return [as_number(value) if isinstance(value, str) else value for value in box]
