"""Write a list and a page of unlabeled images of missing kinds.

A missing kind is a kind of image that occurs among the unlabeled images, but not among the labeled
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nbseg.analysis.coverage.rule import Coverage
from nbseg.analysis.html import jpeg_uri, render_page
from nbseg.files import replacing
from nbseg.image_options import DEFAULTS, ImageOptions, for_display
from nbseg.images import read_image
from nbseg.visualization.drawing import (
    GRAY,
    Picture,
    captioned,
    encode_jpeg,
    resized,
    side_by_side,
)

LIST = "uncovered.txt"
SHOWN = 12  # pictures of each missing kind
PANEL = (300, 225)  # width and height in which an image is drawn, in pixels


@dataclass(frozen=True)
class ImageCoverage:
    """Holds the images of a data set, and the kinds of image that no labeled image shows.

    Attributes:
        labeled: paths of the labeled images.
        unlabeled: paths of the examined unlabeled images.
        result: the missing kinds, and the labeled image nearest to each unlabeled image. Its
            indices refer to ``labeled`` and ``unlabeled``.
        all_unlabeled: number of all unlabeled images, examined or not.
        image_options: which channels, plane and values of the image files are read.
    """

    labeled: tuple[Path, ...]
    unlabeled: tuple[Path, ...]
    result: Coverage
    all_unlabeled: int
    image_options: ImageOptions = DEFAULTS

    @property
    def sentence(self) -> str:
        """Return a sentence about the kinds of image that no labeled image shows.

        If there are such kinds, the sentence gives the number of their images and advises which
        images to label. Otherwise, it says that no kind is missing.
        """
        kinds = self.result.kinds
        seen = f"{len(self.unlabeled)} unlabeled images"
        if len(self.unlabeled) < self.all_unlabeled:
            seen = (
                f"{len(self.unlabeled)} examined images (evenly chosen from {self.all_unlabeled} "
                "unlabeled images)"
            )
        if not kinds:
            return f"the labeled images show every kind of image that occurs among {seen}"
        names = " and ".join(self.unlabeled[index].name for index in kinds[0][:2])
        one = len(kinds) == 1
        missing, which, where = (
            ("a kind", "of them", "")
            if one
            else (f"{len(kinds)} kinds", "images of each kind", " of the largest kind")
        )
        return (
            f"{len(self.result.uncovered)} of {seen} are of {missing} that no labeled image shows; "
            f"label two {which}, for example {names}{where}"
        )


def write_coverage(found: ImageCoverage, out: Path) -> None:
    """Write ``uncovered.txt`` and the page ``index.html`` into the folder ``out``.

    ``uncovered.txt`` lists the paths of all images of missing kinds, one per line. The page shows
    images of each missing kind beside the nearest labeled images. If no kind is missing, the page
    shows the unlabeled images that are farthest from the labeled ones.

    Raises:
        OSError: a file cannot be written.
        ValueError: an image cannot be read.
    """
    paths = [str(found.unlabeled[index]) for kind in found.result.kinds for index in kind]
    with replacing(out / LIST) as temporary:
        temporary.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    farthest = np.argsort(-found.result.distance, kind="stable")[:SHOWN].tolist()
    sections = [
        (len(kind), [_tile(found, index) for index in kind[:SHOWN]]) for kind in found.result.kinds
    ]
    page = render_page(
        "nbseg.analysis.coverage",
        found=found,
        kinds=sections,
        farthest=[] if sections else [_tile(found, index) for index in farthest],
    )
    with replacing(out / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _tile(found: ImageCoverage, index: int) -> dict[str, object]:
    """Return the tile of an unlabeled image and its nearest labeled image (see ``pair_tile``)."""
    image = found.unlabeled[index]
    nearest = found.labeled[found.result.nearest[index]]
    return pair_tile(
        image,
        nearest,
        "unlabeled",
        [f"distance {float(found.result.distance[index]):.2f}"],
        found.image_options,
    )


def pair_tile(
    image: Path,
    nearest: Path | None,
    caption: str,
    lines: Sequence[str],
    options: ImageOptions = DEFAULTS,
) -> dict[str, object]:
    """Return a tile that shows an unlabeled image beside its nearest labeled image.

    Args:
        image: the unlabeled image.
        nearest: the nearest labeled image; None if no image is labeled.
        caption: caption of the unlabeled image.
        lines: text below the name of the nearest labeled image.
        options: which channels, plane and values of the image files are read.

    Returns:
        The variables of a tile in the template ``pair_tiles.html``: ``name`` (file name of the
        unlabeled image), ``alt`` (alternative text of the picture), ``source`` (the picture as a
        data URI) and ``lines`` (all lines of text below the picture).

    Raises:
        OSError, ValueError: an image cannot be read.
    """
    panels, alt = [_panel(image, caption, options)], image.name
    if nearest is not None:
        panels.append(_panel(nearest, "nearest labeled", options))
        alt += f" beside the labeled image {nearest.name}"
        lines = [f"nearest labeled image: {nearest.name}", *lines]
    source = jpeg_uri(encode_jpeg(side_by_side(panels, gap=4)))
    return {"name": image.name, "alt": alt, "source": source, "lines": lines}


def _panel(path: Path, caption: str, options: ImageOptions) -> Picture:
    pixels = read_image(path, options=for_display(options))
    height, width = pixels.shape[:2]
    scale = min(PANEL[0] / width, PANEL[1] / height)
    scaled = resized(pixels, (max(1, round(scale * width)), max(1, round(scale * height))))
    canvas = np.full((PANEL[1], PANEL[0], 3), GRAY, np.uint8)
    top, left = ((PANEL[1 - axis] - scaled.shape[axis]) // 2 for axis in (0, 1))
    canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
    return captioned(canvas, caption)
