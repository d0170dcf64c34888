"""Choose the images of a COCO json to correct, and decode their objects."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pycocotools.coco import COCO


@dataclass(frozen=True)
class Object:
    """An object in an image.

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
        names: file names in the wanted order; None for all images, those with the lowest mean score
            first. There, images without an object come last, and a missing score counts as 1.
        count: largest number of images; None for all.

    Raises:
        ValueError: the json does not list a file name.
    """
    if names is None:
        images = sorted(coco.imgs, key=lambda image: _mean_score(coco.imgToAnns[image]))
        return images[:count]
    ids = {image["file_name"]: image["id"] for image in coco.imgs.values()}
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(names)} listed images are not in the json, the first: "
            f"{unknown[0]}; the json lists names such as {next(iter(ids), 'none')}"
        )
    return [ids[name] for name in dict.fromkeys(names)][:count]


def _mean_score(annotations: list[dict[str, Any]]) -> float:
    scores = [float(annotation.get("score", 1)) for annotation in annotations]
    return float(np.mean(scores)) if scores else np.inf


def read_names(path: Path, images: Path) -> list[str]:
    """Return the file names in a text file with one name per line, or in the table of `rank`.

    Args:
        path: the text file, or a csv file whose column ``file`` holds paths of images.
        images: folder that the returned names are relative to.

    Raises:
        ValueError: the csv file has no such column.
    """
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() != ".csv":
        return [line.strip() for line in text.splitlines() if line.strip()]
    rows = list(csv.DictReader(text.splitlines()))
    if rows and "file" not in rows[0]:
        raise ValueError(f"{path} has no column 'file'; found {', '.join(rows[0])}")
    return [Path(os.path.relpath(row["file"], images)).as_posix() for row in rows]


def objects_of(coco: "COCO", image: int) -> Iterator[Object]:
    """Yield the objects of an image that have a pixel; crowds are left out."""
    from pycocotools import mask as coco_mask

    for annotation in coco.imgToAnns[image]:
        if annotation.get("iscrowd"):
            continue
        rle = coco.annToRLE(annotation)
        x, y, width, height = (int(side) for side in coco_mask.toBbox(rle))
        if width and height:
            score = annotation.get("score")
            yield Object(
                annotation["id"],
                coco.cats[annotation["category_id"]]["name"],
                coco_mask.decode(rle)[y : y + height, x : x + width].astype(bool),
                y,
                x,
                None if score is None else float(score),
            )
