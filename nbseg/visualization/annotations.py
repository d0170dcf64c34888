"""Draw COCO annotations on images: ground truth, predictions and pseudo-labels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from nbseg.coco import read_coco, read_results
from nbseg.coco_masks import to_rle
from nbseg.files import replacing
from nbseg.image_options import FOR_DISPLAY
from nbseg.images import read_image, write_image
from nbseg.visualization.colors import PALETTE
from nbseg.visualization.drawing import (
    Picture,
    captioned,
    draw_mask,
    draw_text,
    resized,
    side_by_side,
)

Entry = dict[str, Any]  # an image, annotation or category of a COCO json


def draw_comparison(
    image_folder: str | Path,
    images: Sequence[Entry],
    panels: dict[str, Iterable[Entry]],
    categories: Sequence[Entry],
    out: str | Path,
    min_side: int = 256,
) -> list[Path]:
    """Write one picture per image, with panels side by side.

    The first panel shows the image alone. Each further panel shows the image with one set of
    annotations, drawn by ``draw_annotations``. An image that cannot be read is skipped.

    Args:
        image_folder: folder that the file names are relative to.
        images: COCO images to draw.
        panels: sets of COCO annotations (RLE or polygons) by caption.
        categories: COCO categories, for names and colors.
        out: folder to write the PNG files to.
        min_side: approximate lower bound of a panel's shorter side in pixels. Much smaller images
            are enlarged by a whole-number factor, so that outlines can be seen. Other images keep
            their size.

    Returns:
        Paths of the written files, in the order of the images.

    Raises:
        OSError: a picture cannot be written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    grouped = {
        caption: _by_image(annotations, {image["id"] for image in images})
        for caption, annotations in panels.items()
    }
    written = []
    for image in images:
        try:
            pixels = read_image(Path(image_folder) / image["file_name"], options=FOR_DISPLAY)
        except (OSError, ValueError):
            continue
        height, width = pixels.shape[:2]
        enlarge = max(1, round(min_side / min(height, width)))
        size = (enlarge * width, enlarge * height)
        tiles = [captioned(resized(pixels, size), "image")]
        for caption, annotations in grouped.items():
            drawn = draw_annotations(pixels, annotations[image["id"]], categories, size)
            tiles.append(captioned(drawn, f"{caption} ({len(annotations[image['id']])})"))
        # Keep the folder in the name: images of two folders may have the same name.
        name = Path(image["file_name"]).with_suffix(".png").as_posix()
        path = out / name.replace("/", "_")
        with replacing(path) as temporary:
            write_image(temporary, side_by_side(tiles))
        written.append(path)
    return written


def draw_results(
    truth_json: str | Path,
    predicted_json: str | Path,
    image_folder: str | Path,
    out: str | Path,
    caption: str,
    limit: int = 12,
    min_score: float = 0.0,
) -> list[Path]:
    """Draw pseudo-labels, or the predictions of a test, next to the ground truth.

    Args:
        truth_json: COCO json with the true masks.
        predicted_json: COCO json of the pseudo-labels, or COCO's list of results.
        image_folder: folder that the truth's file names are relative to.
        out: folder to write the PNG files to.
        caption: caption of the panel with the predictions.
        limit: the first ``limit`` images of ``truth_json`` are drawn; an image that cannot be read
            is skipped.
        min_score: predictions with a lower score are left out.

    Returns:
        Paths of the written files, in the order of the images.

    Raises:
        FileNotFoundError: a json is missing.
        ValueError: a json is invalid.
        OSError: a picture cannot be written.
    """
    truth = read_coco(truth_json)
    predicted = read_results(predicted_json)
    if isinstance(predicted, dict):
        predicted = predicted["annotations"]
    return draw_comparison(
        image_folder,
        truth["images"][:limit],
        {
            "ground truth": truth["annotations"],
            caption: [p for p in predicted if p.get("score", 1.0) >= min_score],
        },
        truth["categories"],
        out,
    )


def draw_annotations(
    pixels: Picture,
    annotations: Sequence[Entry],
    categories: Sequence[Entry],
    size: tuple[int, int],
    tint: float | Sequence[float] = 0.4,
    thickness: int = 1,
) -> Picture:
    """Resize an image and draw masks on it as tints and outlines.

    If there are at most 20 masks, their class names and scores are written, too.

    Args:
        pixels: BGR, uint8, shape (H, W, 3).
        annotations: COCO annotations (RLE or polygons) of the image, with or without ``score``.
        categories: COCO categories, for names and colors.
        size: width w and height h of the picture in pixels.
        tint: opacity of the color inside the masks, 0 to 1; one number for all, or one per
            annotation.
        thickness: thickness of the outlines in pixels of the picture.

    Returns:
        BGR, uint8, shape (h, w, 3).
    """
    names = {category["id"]: category["name"] for category in categories}
    colors = {c["id"]: PALETTE[i % len(PALETTE)] for i, c in enumerate(categories)}
    height, width = pixels.shape[:2]
    canvas = resized(pixels, size)
    tints = np.broadcast_to(tint, len(annotations))
    for annotation, opacity in zip(annotations, tints, strict=True):
        mask = cv2.resize(
            coco_mask.decode(to_rle(annotation["segmentation"], height, width)),
            size,
            interpolation=cv2.INTER_NEAREST,
        )
        draw_mask(canvas, mask, colors[annotation["category_id"]], opacity, thickness)
    taken: list[tuple[int, int]] = []
    for annotation in annotations if len(annotations) <= 20 else ():
        text = names[annotation["category_id"]]
        if "score" in annotation:
            text += f" {annotation['score']:.2f}"
        x = round(annotation["bbox"][0] * size[0] / width)
        y = max(round(annotation["bbox"][1] * size[1] / height), 10)
        # Move the text down while it would cover an earlier text.
        while any(abs(x - left) < 60 and abs(y - base) < 12 for left, base in taken):
            y += 12
        taken.append((x, y))
        draw_text(canvas, text, (x, y), scale=0.35 if thickness == 1 else 0.42)
    return canvas


def _by_image(annotations: Iterable[Entry], image_ids: set[int]) -> dict[int, list[Entry]]:
    grouped: dict[int, list[Entry]] = defaultdict(list)
    for annotation in annotations:
        if annotation["image_id"] in image_ids:
            grouped[annotation["image_id"]].append(annotation)
    return grouped
