"""Find the data sets of a config and their files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def leaves(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the innermost data set configs: those inside wrappers such as ``ConcatDataset``."""
    inner = _inside(dataset)
    if not inner:
        yield dataset
    for wrapped in inner:
        yield from leaves(wrapped)


def wrappers(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the configs of wrappers such as ``ConcatDataset``, the outermost first."""
    inner = _inside(dataset)
    if inner:
        yield dataset
    for wrapped in inner:
        yield from wrappers(wrapped)


def _inside(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the configs directly inside a wrapper; an empty list for any other data set."""
    return list(filter(None, [dataset.get("dataset"), *(dataset.get("datasets") or ())]))


def annotation_files(dataset: dict[str, Any]) -> list[Path]:
    """Return the annotation files of a data set config, including those of wrapped data sets."""
    return [
        Path(leaf.get("data_root") or "") / leaf["ann_file"]
        for leaf in leaves(dataset)
        if leaf.get("ann_file")
    ]


def is_unlabeled(leaf: dict[str, Any]) -> bool:
    """Return whether a training reads only the images of an innermost data set config.

    Its pipeline then ends in a ``MultiBranch`` with two views of an image.
    """
    pipeline = leaf.get("pipeline") or []
    return any(isinstance(step, dict) and "unsup_teacher" in step for step in pipeline)


def image_folder(leaf: dict[str, Any]) -> Path:
    """Return the image folder of an innermost data set config (see :func:`leaves`)."""
    prefix: dict[str, str] = leaf.get("data_prefix") or {}
    return Path(leaf.get("data_root") or "") / prefix.get("img", "")
