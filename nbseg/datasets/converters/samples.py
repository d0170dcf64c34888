"""Draw a few images of a data set with their masks, for a check before the training."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nbseg.datasets.converters.coco_json import Prepared
from nbseg.files import replacing
from nbseg.image_options import Image, for_display
from nbseg.images import read_image, write_image
from nbseg.visualization.annotations import draw_annotations

COLUMNS = 3
TILE = (480, 320)  # largest width and height of a drawn image


def write_samples(prepared: Prepared, path: Path) -> None:
    """Draw the sample images of a json (up to six) with their annotations, in one picture.

    An annotation without a mask is drawn as its box.

    Args:
        prepared: a json whose ``summary``, which holds the sample images, is not None.
        path: path of the picture; the suffix determines the format.

    Raises:
        ValueError: an image cannot be read, or OpenCV cannot write the format.
        OSError: an image is missing, or the picture cannot be written.
    """
    assert prepared.summary is not None
    tiles = [
        _tile(prepared, image["file_name"], annotations)
        for image, annotations in prepared.summary.samples
    ]
    rows = [_row(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    with replacing(path) as temporary:
        write_image(temporary, np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


def _tile(prepared: Prepared, name: str, annotations: list[dict[str, Any]]) -> Image:
    options = for_display(prepared.image_options)
    pixels = read_image(prepared.image_folder / name, options=options)
    height, width = pixels.shape[:2]
    scale = min(TILE[0] / width, TILE[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return draw_annotations(pixels, [_with_mask(a) for a in annotations], prepared.categories, size)


def _row(tiles: list[Image]) -> Image:
    row = np.zeros((max(len(tile) for tile in tiles), COLUMNS * TILE[0], 3), np.uint8)
    for column, tile in enumerate(tiles):
        row[: tile.shape[0], column * TILE[0] :][:, : tile.shape[1]] = tile
    return row


def _with_mask(annotation: dict[str, Any]) -> dict[str, Any]:
    if annotation.get("segmentation"):
        return annotation
    x, y, w, h = annotation["bbox"]
    return {**annotation, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
