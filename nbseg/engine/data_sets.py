"""Find the data sets in a config, and the files of these data sets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbseg.image_options import ImageOptions, options_in


def leaves(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the configs of all data sets inside a wrapper such as ``ConcatDataset``.

    Wrappers may be nested; the configs of wrappers are not yielded. If ``dataset`` is not a
    wrapper, ``dataset`` itself is yielded.
    """
    inner = _inside(dataset)
    if not inner:
        yield dataset
    for wrapped in inner:
        yield from leaves(wrapped)


def wrappers(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the configs of all wrappers, such as ``ConcatDataset``, in a data set config.

    The outermost wrapper comes first. If ``dataset`` is not a wrapper, nothing is yielded.
    """
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
    """Tell whether a data set config is for the unlabeled images of an online training.

    The pipeline of such a config has a ``MultiBranch`` with the branch ``unsup_teacher`` or
    ``unsup``. The config must not be a wrapper (see :func:`leaves`).
    """
    branches = {"unsup_teacher", "unsup"}
    pipeline = leaf.get("pipeline") or []
    return any(isinstance(step, dict) and branches & set(step) for step in pipeline)


def image_folder(leaf: dict[str, Any]) -> Path:
    """Return the image folder of a data set config that is no wrapper (see :func:`leaves`)."""
    prefix: dict[str, str] = leaf.get("data_prefix") or {}
    return Path(leaf.get("data_root") or "") / prefix.get("img", "")


def image_options(leaf: dict[str, Any]) -> ImageOptions:
    """Return the options with which the pipeline of a data set config reads images.

    The options say which channels and planes are read, and which values become black and white. The
    config must not be a wrapper (see :func:`leaves`).

    Raises:
        ValueError: an option has a value that is not allowed.
    """
    return options_in(leaf.get("pipeline") or [])
