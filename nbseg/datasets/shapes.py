"""Generate the data set ``shapes`` from a seed: PNG images of drawn objects, and COCO jsons."""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.coco import write_coco
from nbseg.datasets.shape_outlines import CLASSES
from nbseg.datasets.shape_scenes import draw_scene
from nbseg.files import read_json, write_json
from nbseg.images import write_image
from nbseg.rle import encode_rle

GENERATOR_VERSION = 1  # increase this number whenever the same options give other images
SPLITS = ("train", "val")
RECORD = "shapes.json"


@dataclass(frozen=True)
class ShapesOptions:
    """Defines a data set ``shapes``, which is generated from these options.

    Attributes:
        size: width and height of an image in pixels, at least 64.
        train: number of training images, at least 1.
        val: number of validation images, at least 1.
        seed: seed of all random choices, at least 0.

    Raises:
        ValueError: an option is too small.
    """

    size: int = 128
    train: int = 800
    val: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 64:
            raise ValueError(f"size must be at least 64 pixels, found {self.size}")
        if self.train < 1 or self.val < 1:
            raise ValueError(
                f"train and val must each be at least 1, found train={self.train} and "
                f"val={self.val}"
            )
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, found {self.seed}")


def _record(options: ShapesOptions) -> dict[str, Any]:
    return {
        "description": "nbseg shapes: procedural instance segmentation",
        "generator_version": GENERATOR_VERSION,
        "options": asdict(options),
    }


def _annotation(image_id: int, label: int, mask: npt.NDArray[Any]) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "image_id": image_id,
        "category_id": label + 1,
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": encode_rle(mask),
    }


def _write_split(folder: Path, split: str, count: int, options: ShapesOptions) -> None:
    (folder / split).mkdir()
    images: list[dict[str, Any]] = []

    def annotations() -> Iterator[dict[str, Any]]:
        number = 0
        for index in range(count):
            # Each image has its own random stream, so a larger set starts with the same images.
            rng = np.random.default_rng([options.seed, SPLITS.index(split), index])
            pixels, objects = draw_scene(rng, options.size)
            name, image_id = f"{index:06d}.png", index + 1
            write_image(folder / split / name, pixels)
            images.append(
                {"id": image_id, "file_name": name, "height": options.size, "width": options.size}
            )
            for o in objects:
                number += 1
                yield {"id": number, **_annotation(image_id, o.label, o.mask)}
            if sys.stderr.isatty() or index + 1 == count:
                end = "\n" if index + 1 == count else ""
                print(f"\rshapes {split}: {index + 1}/{count} images", end=end, file=sys.stderr)

    tables = {
        "info": _record(options),
        "licenses": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
        "annotations": annotations(),
        # This list is complete only after the annotations are written.
        "images": images,
    }
    write_coco(folder / "annotations" / f"instances_{split}.json", tables.items())


def generate_shapes(out: str | Path, options: ShapesOptions, force: bool = False) -> bool:
    """Generate the data set ``shapes`` in the folder ``out``.

    The folder gets images in train/ and val/, COCO jsons in annotations/, and shapes.json with the
    options. The files are written to a temporary folder, which is renamed to ``out`` when the set
    is complete. If ``out`` already holds a set with the same options and generator version, nothing
    is written unless ``force`` is True.

    Args:
        out: folder to create; missing parents are created, too.
        options: options of the set. The same options give the same images and annotations.
        force: generate the set again, even if ``out`` already holds a shapes set; this set is
            replaced.

    Returns:
        True if the set was generated, False if it already existed.

    Raises:
        FileExistsError: ``out`` is a file, or a folder with files but without shapes.json. Also if
            ``out`` holds a shapes set with other options or of another generator version, and
            ``force`` is False.
    """
    out = Path(out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / RECORD).is_file():
            raise FileExistsError(
                f"{out} exists and is not a shapes set (it has no {RECORD}): choose another folder"
            )
        found = read_json(out / RECORD)
        if found == _record(options) and not force:
            return False
        if not force:
            raise FileExistsError(
                f"{out} holds a shapes set with other options or of another generator version: "
                f"expected {asdict(options)} and generator version {GENERATOR_VERSION}, found "
                f"{found.get('options')} and generator version {found.get('generator_version')}; "
                "choose another folder, or replace the set (tools/prepare_data.py shapes --force)"
            )

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        folder = Path(temporary) / "new"
        (folder / "annotations").mkdir(parents=True)
        for split, count in zip(SPLITS, (options.train, options.val), strict=True):
            _write_split(folder, split, count, options)
        write_json(folder / RECORD, _record(options), indent=2)
        if out.exists():
            os.rename(out, Path(temporary) / "old")
        os.rename(folder, out)
    return True
