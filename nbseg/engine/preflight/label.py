"""Check that the label stage can make pseudo-labels for the classes of the labeled json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.coco import category_ids, read_coco
from nbseg.errors import StageError
from nbseg.pseudo.thresholds import fixed_box_thresholds


def check_labeled(
    label: dict[str, Any], categories: Sequence[dict[str, Any]] | None = None
) -> None:
    """Refuse classes and thresholds with which the label stage would fail after hours of training.

    Args:
        label: the section ``label`` of the config.
        categories: the categories of the labeled json; None to read the json.

    Raises:
        StageError: the classes or their order differ from those of the labeled json, or a threshold
            is not a number.
    """
    path = Path(label["labeled_json"])
    pixel = label.get("pixel_threshold", "match")
    try:
        fixed_box_thresholds(label.get("box_threshold", "match"), label["classes"])
        if pixel != "match" and not isinstance(pixel, (int, float)):
            raise ValueError(f'label.pixel_threshold must be "match" or a number, found {pixel!r}')
        if categories is None and path.exists():
            categories = read_coco(path)["categories"]
        if categories is not None:
            category_ids(categories, label["classes"], path)
    except ValueError as error:
        raise StageError(str(error)) from error
