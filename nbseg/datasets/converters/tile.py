"""Cut large images, and the masks of their objects, into tiles."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg._native import crops_from_rle
from nbseg.coco import load_coco
from nbseg.coco_tables import KEYS
from nbseg.datasets.converters.coco_json import (
    Labeled,
    Prepared,
    is_prepared,
    source_record,
    write_coco_json,
)
from nbseg.datasets.converters.instance_map import annotation_of
from nbseg.datasets.converters.parallel import parallel_map
from nbseg.files import replacing
from nbseg.images import image_names, read_image, write_image
from nbseg.rle import encode_crop
from nbseg.tiles import Window, intersection, tile_windows

# Parts with a smaller share of their object become crowds, which training ignores.
LEAST = 0.25


def cut_tiles(
    images: Path,
    out: Path,
    size: int,
    overlap: int,
    annotations: Path | None = None,
    workers: int = 1,
    force: bool = False,
) -> Prepared:
    """Write the tiles of all images to ``out``/images, and a COCO json to ``out``/tiles.json.

    The tile of ``a/b.tif`` whose upper left pixel is in row 512 and column 0 is ``a/b_512_0.png``.
    A part of an object is an object of its tile. A part with less than a quarter of the object's
    pixels is a crowd (``iscrowd`` 1): training ignores it, because it shows too little.

    Args:
        images: folder of the images.
        out: folder to write to.
        size: side of a tile in pixels. Smaller images are copied.
        overlap: number of pixels that neighboring tiles share at least.
        annotations: COCO json of the images; None for all images of the folder, without objects.
        workers: number of processes.
        force: write the json and the tiles again, even if the json exists.

    Raises:
        FileNotFoundError: the folder, the json or an image is missing.
        FileExistsError: see :func:`nbseg.datasets.converters.coco_json.is_prepared`.
        ValueError: ``size`` or ``overlap`` is out of range, the json is malformed, or an image
            cannot be read.
    """
    list(tile_windows(size, size, size, overlap))  # refuses wrong sizes
    if (out / "images").resolve().is_relative_to(images.resolve()):
        raise ValueError(
            f"the tiles in {out} would become images of {images}; choose another --out"
        )
    others: dict[str, Any] = {}
    if annotations is None:
        categories = []
        items: list[Any] = [({"file_name": name}, []) for name in image_names(images)]
    else:
        coco = load_coco(annotations, masks=True)
        categories = coco.dataset["categories"]
        others = {k: v for k, v in coco.dataset.items() if k not in (*KEYS, "info")}
        items = [
            (image, [{**a, "segmentation": coco.annToRLE(a)} for a in coco.imgToAnns[number]])
            for number, image in coco.imgs.items()
        ]
    paths = [images / image["file_name"] for image, _ in items]
    sources = [annotations] if annotations else []
    record = source_record(f"tiles of {size}, overlap {overlap}", images, paths, sources)
    path, summary, notes = out / "tiles.json", None, []
    if not is_prepared(path, record, force):
        cut = partial(_cut, images, out / "images", size, overlap)
        tiles = (tile for made in parallel_map(cut, items, workers, "tiles") for tile in made)
        summary = write_coco_json(path, record, categories, tiles, len(items), others)
        notes.append(f"tiles of {size} pixels from {len(items)} images: {out / 'images'}")
    return Prepared(path, out / "images", categories, summary, notes=notes)


def _cut(
    images: Path, out: Path, size: int, overlap: int, item: tuple[dict[str, Any], list[Any]]
) -> list[Labeled]:
    """Write the tiles of an image; return the COCO entries of the tiles and their annotations."""
    image, annotations = item
    stored = (image["height"], image["width"]) if "height" in image else None
    pixels = read_image(images / image["file_name"], stored)
    height, width = pixels.shape[:2]
    masks = [_crop(annotation["segmentation"]) for annotation in annotations]
    made = []
    for window in tile_windows(height, width, size, overlap):
        top, bottom, left, right = window
        stem = Path(image["file_name"]).with_suffix("").as_posix()
        name = f"{stem}_{top}_{left}.png"
        with replacing(out / name) as temporary:
            write_image(temporary, pixels[top:bottom, left:right])
        parts = []
        for annotation, (mask, place) in zip(annotations, masks, strict=True):
            if (shared := intersection(window, place)) is None:
                continue
            part = mask[
                shared[0] - place[0] : shared[1] - place[0],
                shared[2] - place[2] : shared[3] - place[2],
            ]
            if not part.any():
                continue
            rle = encode_crop(part, shared[0] - top, shared[2] - left, bottom - top, right - left)
            kept = {k: v for k, v in annotation.items() if k not in ("id", "image_id")}
            whole = part.sum() >= LEAST * mask.sum()
            crowd = 1 if annotation.get("iscrowd") or not whole else 0
            parts.append({**kept, **annotation_of(rle), "iscrowd": crowd})
        entry = {**image, "file_name": name, "height": bottom - top, "width": right - left}
        entry.pop("id", None)
        made.append((entry, parts))
    return made


def _crop(rle: dict[str, Any]) -> tuple[npt.NDArray[np.bool_], Window]:
    """Return the crop of a mask to its box, and the place of the crop in the image."""
    bits, _, ((x, y, w, h),) = crops_from_rle([rle["counts"]], *rle["size"])
    mask = np.unpackbits(bits.reshape(int(h), -1), axis=1, bitorder="little")[:, : int(w)]
    return mask.astype(bool), (int(y), int(y + h), int(x), int(x + w))
