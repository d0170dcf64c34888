"""Write an HTML page with images whose labels a person corrected, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from nbseg.analysis.corrections.changes import Changes
from nbseg.analysis.html import jpeg_uri, render_page
from nbseg.files import replacing
from nbseg.image_options import DEFAULTS, ImageOptions, for_display
from nbseg.images import read_image
from nbseg.visualization.annotations import draw_annotations
from nbseg.visualization.drawing import captioned, resized, side_by_side

SHOWN = 60  # images on the page
SIDE = 420  # longer side of a picture in pixels


@dataclass(frozen=True)
class Corrected:
    """Describes an image whose pseudo-labels a person corrected.

    Attributes:
        path: path of the image.
        before: pseudo-labels of the image as COCO annotations.
        after: corrected labels of the image as COCO annotations.
        changes: numbers of unchanged, changed, new and deleted objects.
    """

    path: Path
    before: Sequence[dict[str, Any]]
    after: Sequence[dict[str, Any]]
    changes: Changes


def write_corrections(
    images: Sequence[Corrected],
    categories: Sequence[Sequence[dict[str, Any]]],
    rounds: Sequence[tuple[str, int, Mapping[str, float]]],
    out: Path,
    options: ImageOptions = DEFAULTS,
) -> None:
    """Write a self-contained page with the numbers of changes and pictures of corrected images.

    Args:
        images: the corrected images. The page shows at most 60 of them, those with the most changes
            first.
        categories: two lists of COCO categories: first the categories of the annotations in
            ``Corrected.before``, then the categories of those in ``Corrected.after``.
        rounds: one entry per round so far. A round is a run that trained a student; between two
            rounds, a person corrects labels. An entry has the name of the round, the number of
            labeled images, and the student's test metrics: values from 0 to 1 by the metric's name.
        out: the HTML file to write.
        options: which channels, plane and values of the image files are read.
    """
    total = sum((image.changes for image in images), Changes())
    ordered = sorted(images, key=lambda image: -_touched(image.changes))[:SHOWN]
    page = render_page(
        "nbseg.analysis.corrections",
        images=images,
        total=total,
        rounds=rounds,
        tiles=[
            {
                "name": image.path.name,
                "changes": image.changes,
                "uri": _picture(image, categories, options),
            }
            for image in ordered
        ],
    )
    with replacing(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _touched(changes: Changes) -> int:
    return changes.changed + changes.new + changes.deleted


def _picture(
    image: Corrected, categories: Sequence[Sequence[dict[str, Any]]], options: ImageOptions
) -> str:
    pixels = read_image(image.path, options=for_display(options))
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tiles = [captioned(resized(pixels, size), "image")]
    for name, annotations, known in zip(
        ("pseudo-labels", "corrected"), (image.before, image.after), categories, strict=True
    ):
        drawn = draw_annotations(pixels, annotations, known, size)
        tiles.append(captioned(drawn, f"{name} ({len(annotations)})"))
    encoded = cv2.imencode(".jpg", side_by_side(tiles), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return jpeg_uri(encoded.tobytes())
