"""COCO jsons: read, checked and indexed in one place."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

IMAGE_KEYS = ("id", "file_name", "height", "width")
ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "segmentation")


def read_coco(path: Path) -> COCO:
    """Read a COCO json with instances and index it, ``imgToAnns`` included.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a COCO json with instances.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give the path of a COCO json")
    wanted = "wanted a COCO json (an object with images, annotations and categories)"
    try:
        coco = load_coco(path)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not json: {error}; {wanted}") from error
    except KeyError as error:
        raise ValueError(f"{path} has no {error}; {wanted}") from error
    except TypeError as error:
        raise ValueError(f"{path} has another form; {wanted}") from error
    rows = {"images": IMAGE_KEYS, "annotations": ANNOTATION_KEYS, "categories": ("id", "name")}
    for table, keys in rows.items():
        for row in coco.dataset[table]:
            missing = [key for key in keys if key not in row]
            if missing:
                raise ValueError(f"{path}: {wanted}; an entry of {table} has no {missing[0]!r}")
    for table, index in (("images", coco.imgs), ("annotations", coco.anns)):
        if len(index) != len(coco.dataset[table]):
            (twice, _), *_ = Counter(row["id"] for row in coco.dataset[table]).most_common(1)
            raise ValueError(f"{path}: the id {twice} occurs twice in {table}; ids must be unique")
    if not coco.cats:
        raise ValueError(f"{path} has no category; {wanted}")
    # MMDetection leaves instances without a mask out of training.
    coco.anns = {i: annotation for i, annotation in coco.anns.items() if annotation["segmentation"]}
    for annotation in coco.anns.values():
        if not all(map(is_number, annotation["bbox"])):
            raise ValueError(
                f"{path}: annotation {annotation['id']} has the bbox {annotation['bbox']}; wanted "
                "four finite numbers"
            )
        for key, index in (("image_id", coco.imgs), ("category_id", coco.cats)):
            if annotation[key] not in index:
                raise ValueError(
                    f"{path}: annotation {annotation['id']} has the {key} {annotation[key]}, which "
                    "the json does not define"
                )
        try:
            coco.annToRLE(annotation)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise ValueError(
                f"{path}: annotation {annotation['id']} has a segmentation that is neither "
                f"polygons of three or more points nor run lengths ({error}); correct or drop it"
            ) from error
        coco.imgToAnns[annotation["image_id"]].append(annotation)
    return coco


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)


def load_coco(path: str | Path) -> COCO:
    """Load a COCO json without pycocotools' prints."""
    coco = COCO()
    with Path(path).open() as file:
        coco.dataset = json.load(file)
    # createIndex prints; the tables it makes are these.
    coco.imgs = {image["id"]: image for image in coco.dataset["images"]}
    coco.anns = {annotation["id"]: annotation for annotation in coco.dataset["annotations"]}
    coco.cats = {category["id"]: category for category in coco.dataset["categories"]}
    return coco


def category_ids(truth: COCO, classes: Sequence[str], path: str | Path) -> list[int]:
    """Return the category id of each label.

    MMDetection's ``CocoDataset`` numbers labels in the order of the json, whatever the order of
    ``metainfo.classes``; names and labels agree only where the two orders do.
    """
    ids = [category for category, entry in truth.cats.items() if entry["name"] in set(classes)]
    names = [truth.cats[category]["name"] for category in ids]
    if names != list(classes):
        raise ValueError(
            f"metainfo.classes is {list(classes)}, but {path} has the categories "
            f"{[entry['name'] for entry in truth.cats.values()]}; name them in its order"
        )
    return ids


def check_categories(pseudo: COCO, pseudo_path: Path, other: COCO, path: Path) -> None:
    """Refuse with a ValueError where a category of the first is another one in the second."""
    for category, entry in pseudo.cats.items():
        found = other.cats.get(category, {}).get("name")
        if found != entry["name"]:
            raise ValueError(
                f"category {category} is {entry['name']!r} in {pseudo_path} but {found!r} in "
                f"{path}; both must come from the same categories"
            )


def check_same_images(pseudo: COCO, pseudo_path: Path, truth: COCO, path: Path) -> None:
    """Refuse with a ValueError where the two share no image, or an id means another one."""
    known = [image for image in pseudo.imgs if image in truth.imgs]
    if not known:
        raise ValueError(
            f"no image id of {pseudo_path} is in {path}; the truth must be of the same images"
        )
    for image in known:
        for key in ("file_name", "height", "width"):
            found, wanted = truth.imgs[image][key], pseudo.imgs[image][key]
            if found != wanted:
                raise ValueError(
                    f"image {image} has the {key} {wanted!r} in {pseudo_path} but {found!r} in "
                    f"{path}; the truth must be of the same images"
                )


def by_category(annotations: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Group annotations by their ``category_id``; a category without any has an empty list."""
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        grouped[annotation["category_id"]].append(annotation)
    return grouped


def to_rle(segmentation: dict | list, height: int, width: int) -> dict[str, Any]:
    """Return the compressed RLE of an annotation's segmentation, polygons or RLE of any kind."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation
