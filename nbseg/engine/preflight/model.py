"""Check a model's number of classes, and warn of images with too many objects for the model."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from nbseg.coco_values import reason_left_out
from nbseg.errors import StageError

# Parts of a detector whose num_classes does not count the data set's classes.
OTHERS = {"backbone", "neck", "rpn_head", "semantic_head"}


def check_num_classes(model: dict[str, Any], classes: list[str], stage: str) -> None:
    """Refuse a model in which a head's ``num_classes`` differs from ``len(classes)``.

    Raises:
        StageError: the numbers differ; the message names the head.
    """
    for path, number in _num_classes(model, "model"):
        if number != len(classes):
            raise StageError(
                f"stage {stage}: {path}.num_classes is {number}, but the config has "
                f"{len(classes)} classes; set num_classes={len(classes)}"
            )


def warn_of_many_objects(
    content: dict[str, Any], limit: int | None, key: str, what: str, per_class: bool = False
) -> str:
    """Return a warning if an image has more objects than ``limit``, else an empty string.

    Args:
        content: a COCO json.
        limit: largest number of detections per image; None means no limit.
        key: config key of the limit, for the warning.
        what: name of the data set, for the warning.
        per_class: whether the limit holds for each class of an image.
    """
    counts = Counter(
        (a["image_id"], per_class and a["category_id"])
        for a in content["annotations"]
        if not reason_left_out(a)
    )
    most = max(counts.values(), default=0)
    if limit is None or most <= limit:
        return ""
    return (
        f"warning: {what}: an image has {most} objects{' of one class' if per_class else ''}, but "
        f"{key} allows only {limit} detections, so some objects cannot be found; raise {key}"
    )


def max_per_img(model: dict[str, Any]) -> int | None:
    """Return the ``max_per_img`` of a model's config; None if detections are not limited."""
    test_cfg = model.get("test_cfg") or {}
    limit = (test_cfg.get("rcnn") or test_cfg).get("max_per_img")
    return limit if isinstance(limit, int) and limit > 0 else None


def _num_classes(part: Any, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(part, dict):
        if isinstance(part.get("num_classes"), int):
            yield path, part["num_classes"]
        for key, value in part.items():
            if key not in OTHERS:
                yield from _num_classes(value, f"{path}.{key}")
    elif isinstance(part, (list, tuple)):
        for index, value in enumerate(part):
            yield from _num_classes(value, f"{path}.{index}")
