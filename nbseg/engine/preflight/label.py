"""Check the thresholds and classes with which the label stage makes pseudo-labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.coco import category_ids, read_coco
from nbseg.errors import StageError
from nbseg.pseudo.thresholds import fixed_box_thresholds


def check_thresholds(label: dict[str, Any]) -> None:
    """Refuse thresholds with which the label stage would fail after hours of training.

    Args:
        label: the section ``label`` of the config.

    Raises:
        StageError: a threshold is neither a number nor "match" (or "match_total", for boxes), a
            class has no threshold, or an unknown class has a threshold.
    """
    pixel = label.get("pixel_threshold", "match")
    try:
        fixed_box_thresholds(label.get("box_threshold", "match"), label["classes"])
    except ValueError as error:
        raise StageError(str(error)) from error
    if pixel != "match" and not isinstance(pixel, (int, float)):
        raise StageError(f'label.pixel_threshold must be "match" or a number, found {pixel!r}')


def check_labeled(
    label: dict[str, Any], categories: Sequence[dict[str, Any]] | None = None
) -> None:
    """Refuse classes that are not among the categories of the labeled json.

    Args:
        label: the section ``label`` of the config.
        categories: the categories of the labeled json. None reads them from the json if it exists.

    Raises:
        StageError: the json has no category, or several categories, with the name of a class.
    """
    path = Path(label["labeled_json"])
    try:
        if categories is None and path.exists():
            categories = read_coco(path)["categories"]
        if categories is not None:
            category_ids(categories, label["classes"], path)
    except ValueError as error:
        raise StageError(str(error)) from error
