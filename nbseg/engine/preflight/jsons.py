"""Check the json of a data set: tables, boxes, masks, classes, and objects to train on."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.coco import read_coco
from nbseg.coco_values import is_box, reason_left_out
from nbseg.datasets.annotation_checks import APART, CORNERS, annotation_problem
from nbseg.datasets.check_coco import table_problems
from nbseg.errors import StageError
from nbseg.image_names import spread

# Masks of more annotations would take longer than a second.
MASKS = 5000
# Problems with which a stage would fail or give wrong results; all others are warnings.
REFUSED = (
    *("repeated image ids", "repeated annotation ids", "repeated category ids"),
    *("repeated image file names", "repeated category names"),
    "annotations of unknown images",
    *("annotations of unknown categories", "boxes that are not four numbers"),
    "RLE masks that are invalid or not of the image's size",
    "polygons that are not flat lists of x, y pairs with values from -2**20 to 2**20",
)


def read_checked(path: Path, what: str) -> dict[str, Any]:
    """Read a COCO json, and refuse repeated ids or names and references to unknown ids.

    Args:
        path: the json.
        what: name of the data set, for messages.

    Returns:
        The content of the json.

    Raises:
        StageError: the file is not a COCO json, has no image, repeats an id or a name, or refers
            to an unknown id.
    """
    try:
        content = read_coco(path, consistent=False)
    except ValueError as error:
        raise StageError(str(error)) from error
    _refuse(table_problems(content)[0], what)
    if not content["images"]:
        raise StageError(f"{what}: there is no image; add images, or name another json")
    return content


def check_annotations(content: dict[str, Any], what: str) -> list[str]:
    """Check that all boxes are four numbers, and check up to 5000 annotations in full.

    Args:
        content: a COCO json.
        what: name of the data set, for messages.

    Returns:
        A warning for each kind of problem with boxes or masks.

    Raises:
        StageError: a box is not four numbers, or a mask is invalid. The error is also raised if
            more than half of the fully checked annotations have a box that is given by two corners,
            or more than half have a box that lies apart from its mask.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    annotations = content["annotations"]
    sample = set(spread(range(len(annotations)), MASKS))
    problems: dict[str, list[str]] = {}
    for index, annotation in enumerate(annotations):
        kind = None
        if not is_box(annotation["bbox"]):
            kind = "boxes that are not four numbers"
        elif index in sample:
            # An annotation without an area is sound: the area of its mask is used.
            kind = annotation_problem({"area": 1, **annotation}, *sizes[annotation["image_id"]])
        if kind:
            problems.setdefault(kind, []).append(f"annotation {annotation['id']}")
    _refuse(problems, what)
    for kind in (CORNERS, APART):
        if len(problems.get(kind, ())) > len(sample) / 2:
            raise StageError(
                f"{what}: {_text(kind, problems[kind])}. Expected boxes as x, y, width, height and "
                "polygons as x0, y0, x1, y1, ..., all in pixels; convert the boxes and the "
                "polygons to this format"
            )
    return [f"warning: {what}: {_text(kind, which)}" for kind, which in problems.items()]


def check_objects(
    content: dict[str, Any], classes: Sequence[str], what: str
) -> tuple[int, list[str]]:
    """Count the objects to train on, and refuse a json without such objects.

    Args:
        content: a COCO json.
        classes: class names of the config.
        what: name of the data set, for messages.

    Returns:
        ``(number of objects, warnings)``. Warnings are about objects that training leaves out, and
        about classes without objects.

    Raises:
        StageError: there is no object to train on; or a category with objects is not among the
            classes, while a class is not among the categories.
    """
    names = {category["id"]: category["name"] for category in content["categories"]}
    annotations = content["annotations"]
    objects, reasons = Counter[str](), Counter[str]()
    for annotation in annotations:
        reason = reason_left_out(annotation)
        if reason:
            reasons[reason] += 1
        else:
            objects[names[annotation["category_id"]]] += 1
    unknown = sorted(set(objects) - set(classes))
    absent = [name for name in classes if name not in names.values()]
    if unknown and absent:
        raise StageError(
            f"{what}: the categories {unknown} have objects, but are not among the config's "
            f"classes; the classes {absent} are not among the json's categories. Give categories "
            "and classes the same names"
        )
    total = sum(objects[name] for name in classes)
    left_out = "; ".join(f"{count} are {reason}" for reason, count in reasons.items())
    if not total:
        others = [f"{objects.total()} belong to the categories {unknown}"] if unknown else []
        causes = "; ".join([*filter(None, [left_out]), *others])
        why = f"of {len(annotations)} objects, {causes}" if causes else "there is no object"
        advice = (
            "If the crowds are single objects, set their iscrowd to 0; CVAT and datumaro export "
            "brush masks with iscrowd 1"
            if any(annotation.get("iscrowd") for annotation in annotations)
            else "Add objects with masks. If nbseg splits this data set, choose another seed or "
            "percent"
        )
        raise StageError(
            f"{what}: none of the {len(content['images'])} images has an object of the classes "
            f"{list(classes)} to train on; {why}. {advice}"
        )
    warnings = [f"warning: {what}: training leaves out objects: {left_out}"] if left_out else []
    if unknown:
        warnings.append(
            f"warning: {what}: training leaves out the objects of the categories {unknown}, which "
            "are not among the config's classes"
        )
    if empty := [name for name in classes if not objects[name]]:
        warnings.append(f"warning: {what}: there is no object of the classes {empty} to train on")
    return total, warnings


def _refuse(problems: dict[str, list[str]], what: str) -> None:
    if refused := [_text(kind, problems[kind]) for kind in REFUSED if kind in problems]:
        raise StageError(
            f"{what}: {'; '.join(refused)}. Correct the json; to list all problems, run "
            "tools/prepare_data.py check JSON --images DIR"
        )


def _text(kind: str, which: list[str]) -> str:
    return f"{len(which)} {kind}, the first: {which[0]}"
