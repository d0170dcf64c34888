"""How much two models differ on an image."""

from __future__ import annotations

from dataclasses import dataclass

from nbseg.analysis.comparison.sources import Instances
from nbseg.analysis.mask_pairs import Matches, match_image
from nbseg.analysis.matching import Agreement


@dataclass(frozen=True)
class ImageDifference:
    """One image through models A and B.

    Attributes:
        file_name: of the image.
        difference: sum of 1 - mask IoU over the objects that both found, plus the number of objects
            that only one found.
        matched: objects of the same class that both found, with mask IoU 0.5 or more.
        mean_iou: of their masks; None without any.
        only_a: objects that only A found.
        only_b: objects that only B found.
        quality_a: panoptic quality of A against the truth (Kirillov et al., 2019), F1 times the
            mean mask IoU of what matches, 1 with nothing to find and nothing found; None without
            truth.
        quality_b: likewise of B.
    """

    file_name: str
    difference: float
    matched: int
    mean_iou: float | None
    only_a: int
    only_b: int
    quality_a: float | None
    quality_b: float | None

    @property
    def gain(self) -> float | None:
        """Quality of B minus that of A; None without truth."""
        if self.quality_a is None or self.quality_b is None:
            return None
        return self.quality_b - self.quality_a

    @property
    def order(self) -> tuple[float, float]:
        """Sorts the most different first: by quality where the truth tells it, then by masks."""
        return -abs(self.gain or 0.0), -self.difference


def compare_image(
    file_name: str, a: Instances, b: Instances, truth: Instances | None, height: int, width: int
) -> ImageDifference:
    """Compare two models' instances of one image.

    Args:
        file_name: of the image.
        a: instances of model A, their classes numbered as in the others.
        b: of model B.
        truth: true instances, if they are known.
        height: height of the image.
        width: width of the image.
    """
    both = match_image(a, b, height, width)
    ious = [float(pair.iou) for pair in both.pairs]
    only_a, only_b = len(both.unmatched_found), len(both.unmatched_wanted)
    qualities = [None, None]
    if truth is not None:
        qualities = [_quality(match_image(found, truth, height, width)) for found in (a, b)]
    return ImageDifference(
        file_name,
        sum(1 - iou for iou in ious) + only_a + only_b,
        len(ious),
        sum(ious) / len(ious) if ious else None,
        only_a,
        only_b,
        *qualities,
    )


def _quality(matches: Matches) -> float:
    pairs, invented, missed = (
        len(part) for part in (matches.pairs, matches.unmatched_found, matches.unmatched_wanted)
    )
    f1 = Agreement.of(pairs, invented, missed).f1
    if not pairs:
        return 1.0 if f1 is None else f1
    return f1 * sum(float(pair.iou) for pair in matches.pairs) / pairs
