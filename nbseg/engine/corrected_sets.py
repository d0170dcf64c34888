"""Make the content of jsons in which corrected images count as labeled, no longer as unlabeled."""

import os
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.coco import read_coco
from nbseg.datasets.image_entries import image_entries
from nbseg.engine.data_sets import annotation_files, image_folder, leaves
from nbseg.errors import StageError
from nbseg.files import relative_name
from nbseg.image_options import ImageOptions


def only_set(dataset: dict[str, Any], kind: str) -> tuple[Path | None, Path]:
    """Return the json and the image folder of the only data set in a config.

    Args:
        dataset: config of a data set, or of a wrapper around it.
        kind: ``"labeled"`` or ``"unlabeled"``, for messages.

    Returns:
        ``(json, image folder)``. The json is None if the data set has no json.

    Raises:
        StageError: there are several data sets.
    """
    sets = list(leaves(dataset))
    if len(sets) != 1:
        raise StageError(
            f"the config has {len(sets)} {kind} data sets, but the next round needs exactly 1; "
            "join the data sets into one"
        )
    files = annotation_files(sets[0])
    return (files[0] if files else None), image_folder(sets[0])


def check_unlabeled(paths: list[Path], unlabeled: list[Path], corrected: Path) -> set[str]:
    """Check that all corrected images are unlabeled images of the last round.

    Args:
        paths: paths of the corrected images.
        unlabeled: paths of the unlabeled images.
        corrected: json of the corrected images, for the message.

    Returns:
        The absolute paths of the corrected images.

    Raises:
        StageError: a corrected image is not an unlabeled image.
    """
    known = {os.path.abspath(path) for path in unlabeled}
    moved = {os.path.abspath(path) for path in paths}
    if unknown := sorted(moved - known):
        raise StageError(
            f"{len(unknown)} of {len(moved)} images in {corrected} are not unlabeled images of the "
            f"last round, the first: {unknown[0]}. Import the corrected labels with the folder of "
            "the unlabeled images (--images), and leave out images that are labeled already"
        )
    return moved


def joined_labels(
    content: dict[str, Any], new: COCO, labeled: Path, unlabeled: Path, corrected: Path
) -> dict[str, Any]:
    """Return the content of a COCO json with the labeled and the corrected images.

    The corrected images and their annotations get new ids. Their category ids become the ids of the
    categories with the same names in ``content``.

    Args:
        content: the COCO json of the labeled images.
        new: the corrected images and their annotations.
        labeled: folder of the labeled images. In the result, all file names are relative to this
            folder.
        unlabeled: folder of the corrected images.
        corrected: path of the json of the corrected images, for the message.

    Raises:
        StageError: a corrected object has a class that is not a category of ``content``.
    """
    ids = {category["name"]: category["id"] for category in content["categories"]}
    used = {new.cats[annotation["category_id"]]["name"] for annotation in new.anns.values()}
    if unknown := sorted(used - set(ids)):
        raise StageError(
            f"{corrected} has the classes {unknown}, which the labeled images do not have; use the "
            f"classes {sorted(ids)}"
        )
    images, annotations = list(content["images"]), list(content["annotations"])
    first = max((image["id"] for image in images), default=0) + 1
    numbers = {image: first + position for position, image in enumerate(new.imgs)}
    for image in new.imgs.values():
        name = relative_name(unlabeled / image["file_name"], labeled)
        images.append({**image, "id": numbers[image["id"]], "file_name": name})
    first = max((annotation["id"] for annotation in annotations), default=0) + 1
    for position, annotation in enumerate(new.anns.values()):
        annotations.append(
            {
                **annotation,
                "id": first + position,
                "image_id": numbers[annotation["image_id"]],
                "category_id": ids[new.cats[annotation["category_id"]]["name"]],
            }
        )
    return {**content, "images": images, "annotations": annotations}


def listed_images(
    paths: list[Path], folder: Path, source: Path | None, options: ImageOptions
) -> list[dict[str, Any]]:
    """Return entries of unlabeled images for the table ``images`` of a COCO json.

    Args:
        paths: paths of the images.
        folder: folder of the images; the file names in the entries are relative to this folder.
        source: a json that lists the images; the entries are copied from this json. If None, the
            entries are made from the image files, and images that cannot be read are left out.
        options: the options with which image files are read.
    """
    if source:
        entries = {os.path.abspath(folder / i["file_name"]): i for i in read_coco(source)["images"]}
        return [entries[os.path.abspath(path)] for path in paths]
    return image_entries(folder, (relative_name(path, folder) for path in paths), options)[0]
