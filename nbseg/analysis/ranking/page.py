"""Write the list of images to label: a table with reasons, and a page with pictures."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from nbseg.analysis.coverage.page import pair_tile
from nbseg.analysis.html import render_page
from nbseg.analysis.ranking.order import Pick
from nbseg.files import replacing
from nbseg.image_options import DEFAULTS, ImageOptions

TABLE = "rank.csv"
SHOWN = 60  # images on the page


@dataclass(frozen=True)
class RankedImages:
    """Holds the unlabeled images that are most useful to label, in their order.

    Attributes:
        labeled: paths of the labeled images; empty if the ranking ignores all labels (cold start).
        unlabeled: paths of the unlabeled images that were examined.
        picks: the images to label, the most useful first. ``Pick.image`` is an index into
            ``unlabeled``, and ``Pick.nearest`` is an index into ``labeled``.
        all_unlabeled: number of all unlabeled images, including those that were not examined.
        image_options: which channels, plane and values of the image files are read.
    """

    labeled: tuple[Path, ...]
    unlabeled: tuple[Path, ...]
    picks: tuple[Pick, ...]
    all_unlabeled: int
    image_options: ImageOptions = DEFAULTS

    @property
    def paths(self) -> list[Path]:
        """Return the paths of the picked images, the most useful first."""
        return [self.unlabeled[pick.image] for pick in self.picks]

    def nearest(self, pick: Pick) -> Path | None:
        """Return the path of the labeled image nearest to a pick; None if no image is labeled."""
        return None if pick.nearest is None else self.labeled[pick.nearest]

    def reason(self, pick: Pick) -> str:
        """Return in words why an image was picked."""
        if pick.kind:
            missing = " that no labeled image shows" if self.labeled else ""
            return f"most typical of {pick.kind} images of a kind{missing}"
        others = "labeled or earlier ranked" if self.labeled else "earlier ranked"
        if not pick.neighbors:
            article = "a" if self.labeled else "an"
            near = f"is at least as near to {article} {others} image as to this image"
            return f"every other unlabeled image {near}"
        verb = "image is" if pick.neighbors == 1 else "images are"
        return f"{pick.neighbors} unlabeled {verb} nearer to this image than to any {others} image"


def write_ranking(found: RankedImages, out: Path) -> None:
    """Write the images to label to ``rank.csv`` and to the page ``index.html``.

    ``rank.csv`` has a row per image: its rank and path, the reason why it was picked, the nearest
    labeled image, the distance to the nearest labeled image, and the uncertainty of a model.
    Unknown values are empty. The page shows the first 60 images.

    Args:
        found: the images to label.
        out: folder to write to; created if missing.

    Raises:
        OSError: a file cannot be written.
        ValueError: an image cannot be read.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (
        replacing(out / TABLE) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["rank", "file", "reason", "nearest_labeled", "distance", "uncertainty"])
        for rank, (path, pick) in enumerate(zip(found.paths, found.picks, strict=True), start=1):
            numbers = ("" if n is None else f"{n:.4f}" for n in (pick.distance, pick.uncertainty))
            nearest = found.nearest(pick) or ""
            writer.writerow([rank, path, found.reason(pick), nearest, *numbers])
    page = render_page(
        "nbseg.analysis.ranking",
        found=found,
        kinds=sum(pick.kind > 0 for pick in found.picks),
        tiles=[_tile(found, pick, rank + 1) for rank, pick in enumerate(found.picks[:SHOWN])],
    )
    with replacing(out / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")


def _tile(found: RankedImages, pick: Pick, rank: int) -> dict[str, object]:
    lines = [found.reason(pick)]
    if pick.distance is not None:
        lines.append(f"distance {pick.distance:.2f}")
    if pick.uncertainty is not None:
        lines.append(f"uncertainty {pick.uncertainty:.3f}")
    image = found.unlabeled[pick.image]
    caption = f"label as number {rank}"
    return pair_tile(image, found.nearest(pick), caption, lines, found.image_options)
