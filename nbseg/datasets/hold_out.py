"""Choose labeled images to set aside for validation."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.coco_values import reason_left_out
from nbseg.datasets.overlap import content_keys


def held_out(truth: COCO, count: int, paths: Mapping[int, Path]) -> set[int]:
    """Choose images to set aside for validation.

    The images are chosen in the order of a hash of their file names. The choice looks random, but
    changes little when images are added.

    Of several image files with the same content, the function chooses all or none. An image is
    chosen only if each of its classes also occurs in images that are not chosen. Therefore, fewer
    than ``count`` images may be chosen.

    Args:
        truth: COCO json of the labeled images, as ``nbseg.coco.load_coco`` returns it.
        count: largest number of images to choose.
        paths: path of each image of ``truth``, by image id.

    Returns:
        Ids of the chosen images. Every chosen image has an object that training could use, or is a
        copy of a chosen image with such an object.
    """
    classes: dict[int, set[int]] = defaultdict(set)
    for annotation in truth.anns.values():
        if not reason_left_out(annotation):
            classes[annotation["image_id"]].add(annotation["category_id"])
    keys = dict(zip(paths, content_keys(list(paths.values())), strict=True))
    copies: dict[str, list[int]] = defaultdict(list)
    for image in sorted(truth.imgs, key=lambda number: _name_hash(truth.imgs[number])):
        copies[keys[image]].append(image)
    left = Counter(category for found in classes.values() for category in found)
    chosen: set[int] = set()
    for group in copies.values():
        lost = Counter(category for image in group for category in classes[image])
        enough = all(left[category] > number for category, number in lost.items())
        if lost and enough and len(chosen) + len(group) <= count:
            chosen |= set(group)
            left -= lost
    return chosen


def _name_hash(image: dict[str, Any]) -> str:
    return sha256(image["file_name"].encode(errors="surrogatepass")).hexdigest()
