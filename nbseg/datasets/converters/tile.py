"""Cut large images, and the masks of their objects, into tiles."""

from functools import partial
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from nbseg.coco import load_coco, read_images
from nbseg.coco_masks import decode_crop, require_size, to_rle
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
from nbseg.datasets.exporters.file_stems import file_stems
from nbseg.files import replacing
from nbseg.image_names import image_names
from nbseg.image_options import DEFAULTS, ImageOptions
from nbseg.images import require_image_size, write_image
from nbseg.large_images import LargeImage, open_image
from nbseg.rle import encode_crop
from nbseg.tiles import intersection, tile_windows

# A part of an object becomes a crowd, which training ignores, if it has less than this share of the
# object's pixels and also covers less than this share of its tile.
LEAST = 0.25


def cut_tiles(
    images: Path,
    out: Path,
    size: int,
    overlap: int,
    annotations: Path | None = None,
    workers: int = 1,
    force: bool = False,
    options: ImageOptions = DEFAULTS,
) -> Prepared:
    """Write the tiles of all images to ``out``/images, and a COCO json to ``out``/tiles.json.

    The tile of ``a/b.tif`` whose upper left pixel is in row 512 and column 0 is ``a/b_512_0.png``,
    or ``a/b.tif_512_0.png`` if another image differs only by its suffix. The part of an object
    inside a tile becomes an object of this tile. The part is a crowd (``iscrowd`` 1), which
    training ignores, if it has less than a quarter of the object's pixels and covers less than a
    quarter of the tile. Objects without a pixel are left out and counted.

    Args:
        images: folder of the images.
        out: folder to write to.
        size: side of a tile in pixels. A smaller image becomes one tile.
        overlap: smallest number of pixels that neighboring tiles share.
        annotations: COCO json of the images to cut. None cuts all images of the folder; the json of
            the tiles then has no objects.
        workers: number of processes.
        force: write the json and the tiles again, even if the json exists. The tiles that the
            existing json lists are deleted first.
        options: channels, plane and range of values to read. The tiles have 8 bits per channel.

    Returns:
        Path, counts and notes of the json. The counts (``summary``) are None if the json existed
        and was kept.

    Raises:
        FileNotFoundError: the folder, the json or an image is missing.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: ``size`` or ``overlap`` is out of range, ``out``/images lies in ``images``, the
            json is malformed, or an image cannot be read.
    """
    list(tile_windows(size, size, size, overlap))  # refuses wrong sizes
    if (out / "images").resolve().is_relative_to(images.resolve()):
        raise ValueError(
            f"with --out {out}, the tiles would lie in the image folder {images} and count as "
            "images of this folder; choose another --out"
        )
    others: dict[str, Any] = {}
    if annotations is None:
        categories = []
        items: list[Any] = [({"file_name": name}, []) for name in image_names(images)]
        empty = 0
    else:
        coco = load_coco(annotations, masks=True)
        categories = coco.dataset["categories"]
        others = {k: v for k, v in coco.dataset.items() if k not in (*KEYS, "info")}
        items, empty = [], 0
        for number, image in coco.imgs.items():
            found = [_with_rle(a, image, annotations) for a in coco.imgToAnns[number]]
            items.append((image, [a for a in found if coco_mask.area(a["segmentation"])]))
            empty += len(found) - len(items[-1][1])
    paths = [images / image["file_name"] for image, _ in items]
    sources = [annotations] if annotations else []
    chosen = f", {changed}" if (changed := options.changed()) else ""
    what = f"tiles of {size}, overlap {overlap}{chosen}"
    record = source_record(what, images, paths, sources)
    path, summary, notes = out / "tiles.json", None, []
    if not is_prepared(path, record, force):
        if path.exists():
            for image in read_images(path):
                (out / "images" / image["file_name"]).unlink(missing_ok=True)
        stems = file_stems([image["file_name"] for image, _ in items], images)
        work = [(*item, stem) for item, stem in zip(items, stems, strict=True)]
        cut = partial(_cut, images, out / "images", size, overlap, options)
        tiles = (tile for made in parallel_map(cut, work, workers, "tiles") for tile in made)
        summary = write_coco_json(path, record, categories, tiles, len(items), others)
        notes.append(f"tiles of {size} pixels from {len(items)} images: {out / 'images'}")
        notes += [f"objects without a pixel, left out: {empty}"] * bool(empty)
    return Prepared(path, out / "images", categories, summary, notes=notes)


def _with_rle(annotation: dict[str, Any], image: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return an annotation with a compressed RLE of its image's size."""
    rle = to_rle(annotation.get("segmentation"), image["height"], image["width"])
    require_size(rle, annotation, image, path)
    return {**annotation, "segmentation": rle}


def _cut(
    images: Path,
    out: Path,
    size: int,
    overlap: int,
    options: ImageOptions,
    item: tuple[dict[str, Any], list[Any], str],
) -> list[Labeled]:
    """Write the tiles of an image; return the COCO entries of the tiles and their annotations."""
    image, annotations, stem = item
    stored = (image["height"], image["width"]) if "height" in image else None
    path = images / image["file_name"]
    pixels = open_image(path, options)
    height, width = pixels.shape[:2]
    require_image_size(path, (height, width), stored)
    masks = [decode_crop(annotation["segmentation"]) for annotation in annotations]
    made = []
    for window in tile_windows(height, width, size, overlap):
        top, bottom, left, right = window
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
            whole = part.sum() >= LEAST * min(mask.sum(), (bottom - top) * (right - left))
            crowd = 1 if annotation.get("iscrowd") or not whole else 0
            parts.append({**kept, **annotation_of(rle), "iscrowd": crowd})
        entry = {**image, "file_name": name, "height": bottom - top, "width": right - left}
        entry.pop("id", None)
        made.append((entry, parts))
    if isinstance(pixels, LargeImage):
        pixels.close()
    return made
