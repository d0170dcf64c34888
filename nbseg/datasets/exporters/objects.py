"""Choose the images of a COCO json that a person will correct, and decode the objects in them."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nbseg.coco_masks import decode_crop, require_size, to_rle
from nbseg.files import relative_name

if TYPE_CHECKING:
    from pycocotools.coco import COCO


@dataclass(frozen=True)
class Object:
    """Holds an object in an image: its mask, class and score.

    Attributes:
        number: id of the annotation.
        label: name of the class.
        mask: crop of the mask to its box, shape (h, w), bool.
        top, left: row and column of the crop's first pixel in the image.
        score: score of a pseudo-label; None for a label of a person.
    """

    number: int
    label: str
    mask: npt.NDArray[np.bool_]
    top: int
    left: int
    score: float | None


def choose_images(coco: "COCO", names: Sequence[str] | None, count: int | None) -> list[int]:
    """Return the ids of the images to export.

    Args:
        coco: the annotations.
        names: file names in the wanted order. None sorts all images by the mean score of their
            objects, the lowest first: a missing score counts as 1, and images without an object
            come last.
        count: largest number of images; None for all.

    Raises:
        ValueError: the json does not list one of the file names.
    """
    if names is None:
        images = sorted(coco.imgs, key=lambda image: _mean_score(coco.imgToAnns[image]))
        return images[:count]
    ids = {image["file_name"]: image["id"] for image in coco.imgs.values()}
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(names)} listed images are not in the json, the first: "
            f"{unknown[0]}; the json lists names such as {next(iter(ids), 'none')}. Correct the "
            "list (--list), or the folder of the images (--images)"
        )
    return [ids[name] for name in dict.fromkeys(names)][:count]


def _mean_score(annotations: list[dict[str, Any]]) -> float:
    scores = [float(annotation.get("score", 1)) for annotation in annotations]
    return float(np.mean(scores)) if scores else np.inf


def read_names(path: Path, images: Path) -> list[str]:
    """Return the file names in a text file, or in the csv file that `tools/analyze.py rank` writes.

    Args:
        path: a text file with one name per line, or a csv file whose column ``file`` holds paths of
            images, such as ``rank.csv``.
        images: folder of the images. Names from a csv file become relative to this folder; names
            from a text file are returned unchanged.

    Raises:
        ValueError: the csv file has no column ``file``, or this column is empty in a row.
    """
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() != ".csv":
        return [line.strip() for line in text.splitlines() if line.strip()]
    rows = [row for row in csv.DictReader(text.splitlines()) if any(row.values())]
    if rows and "file" not in rows[0]:
        raise ValueError(
            f"{path} has no column 'file', but the columns {', '.join(rows[0])}; give the rank.csv "
            "that `tools/analyze.py rank` writes, or a text file (suffix .txt) with one file name "
            "per line"
        )
    if not all(row["file"] for row in rows):
        raise ValueError(f"{path} has a row with an empty column 'file'; correct or delete the row")
    return [relative_name(row["file"], images) for row in rows]


def objects_of(coco: "COCO", image: int) -> Iterator[Object]:
    """Yield the objects of an image; crowds and objects with an empty mask are left out.

    Raises:
        ValueError: a mask has another size than the image.
    """
    entry = coco.imgs[image]
    for annotation in coco.imgToAnns[image]:
        if annotation.get("iscrowd"):
            continue
        rle = to_rle(annotation.get("segmentation"), entry["height"], entry["width"])
        require_size(rle, annotation, entry)
        mask, (top, _, left, _) = decode_crop(rle)
        if mask.size:
            score = annotation.get("score")
            yield Object(
                annotation["id"],
                coco.cats[annotation["category_id"]]["name"],
                mask,
                top,
                left,
                None if score is None else float(score),
            )
