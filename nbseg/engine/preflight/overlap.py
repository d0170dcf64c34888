"""Check that no image is both labeled and unlabeled."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbseg.coco import read_images
from nbseg.datasets.overlap import overlapping_images
from nbseg.engine.data_sets import annotation_files, image_folder, leaves
from nbseg.errors import StageError
from nbseg.registry import DATASETS


def check_overlap(labeled: dict[str, Any], unlabeled: dict[str, Any]) -> None:
    """Refuse images that are both labeled and unlabeled.

    The pseudo-labels of such an image would contradict its labels.

    Args:
        labeled: config of the labeled data set, or of a wrapper around it.
        unlabeled: config of the unlabeled data set.

    Raises:
        StageError: some images are in both sets, as the same file or as copies, or a set cannot be
            read.
    """
    pairs = overlapping_images(image_paths(labeled), image_paths(unlabeled))
    if pairs:
        first = "; ".join(
            str(path) if twin == path else f"{path} (the same image as the labeled {twin})"
            for twin, path in pairs[:5]
        )
        raise StageError(
            f"{len(pairs)} image(s) of the unlabeled set are also in the labeled set: {first}"
            f"{'; and others' if len(pairs) > 5 else ''}. Remove these images from the unlabeled "
            "set, or accept them with --cfg-options allow_overlap=True"
        )


def image_paths(dataset: dict[str, Any]) -> Iterator[str]:
    """Yield the paths of all images of a data set.

    A data set whose json is missing is skipped.

    Args:
        dataset: config of the data set, or of a wrapper around several data sets.

    Raises:
        StageError: the content of a data set is invalid.
        OSError: a file of a data set cannot be opened or read.
    """
    for leaf in leaves(dataset):
        files = annotation_files(leaf)
        if not all(map(Path.exists, files)):
            continue
        try:
            yield from _paths_of_leaf(leaf)
        except OSError:  # names its file
            raise
        except Exception as error:  # a third-party data set may raise any error
            raise StageError(
                f"the images of {next(iter(files), image_folder(leaf))} cannot be listed "
                f"({type(error).__name__}: {error}); correct this data set"
            ) from error


def _paths_of_leaf(leaf: dict[str, Any]) -> Iterator[str]:
    whole = leaf.get("ann_file") and not leaf.get("indices")
    if whole and leaf.get("type") in ("CocoDataset", "CocoInstanceDataset"):
        # Annotations take most of the time to check, and do not matter here.
        (path,) = annotation_files(leaf)
        yield from (os.path.join(image_folder(leaf), i["file_name"]) for i in read_images(path))
        return
    read: dict[str, Any] = {"pipeline": [], "filter_cfg": None, "test_mode": True}
    images = DATASETS.build({**leaf, **read, "serialize_data": False})
    for index in range(len(images)):
        yield images.get_data_info(index)["img_path"]
