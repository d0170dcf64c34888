"""Measure how much the predictions of two models differ on an image."""

from __future__ import annotations

from dataclasses import dataclass

from nbseg.analysis.comparison.sources import Instances
from nbseg.analysis.mask_pairs import Matches, match_image
from nbseg.analysis.matching import Agreement


@dataclass(frozen=True)
class ImageDifference:
    """Holds the differences between the predictions of models A and B on one image.

    Attributes:
        file_name: file name of the image.
        difference: sum of 1 - mask IoU over the objects that both models found, plus the number of
            objects that only one model found.
        matched: number of objects that both models found with the same class and a mask IoU of at
            least 0.5.
        mean_iou: mean mask IoU of the matched objects; None if there are none.
        only_a: number of objects that only A found.
        only_b: number of objects that only B found.
        quality_a: panoptic quality of A (Kirillov et al., 2019), which is F1 times the mean mask
            IoU of the instances that match the truth. The quality is 1 if there are neither
            predictions nor true instances, and None if the truth is unknown.
        quality_b: panoptic quality of B, computed as ``quality_a`` is.
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
        """Return ``quality_b`` minus ``quality_a``; None if the truth is unknown."""
        if self.quality_a is None or self.quality_b is None:
            return None
        return self.quality_b - self.quality_a

    @property
    def order(self) -> tuple[float, float]:
        """Return a sort key that puts the images with the largest absolute ``gain`` first.

        Among images with the same absolute gain, those with the largest ``difference`` come first.
        If the truth is unknown, the gain counts as 0.
        """
        return -abs(self.gain or 0.0), -self.difference


def compare_image(
    file_name: str, a: Instances, b: Instances, truth: Instances | None, height: int, width: int
) -> ImageDifference:
    """Return the differences between the instances that two models predicted on one image.

    Args:
        file_name: file name of the image.
        a: instances of model A.
        b: instances of model B, with the category ids of ``a``.
        truth: true instances, with the category ids of ``a``; None if they are unknown.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    both = match_image(a, b, height, width)
    ious = [float(pair.iou) for pair in both.pairs]
    only_a, only_b = len(both.false_positives), len(both.false_negatives)
    quality_a = quality_b = None
    if truth is not None:
        quality_a, quality_b = (_quality(match_image(m, truth, height, width)) for m in (a, b))
    return ImageDifference(
        file_name,
        sum(1 - iou for iou in ious) + only_a + only_b,
        len(ious),
        sum(ious) / len(ious) if ious else None,
        only_a,
        only_b,
        quality_a,
        quality_b,
    )


def _quality(matches: Matches) -> float:
    pairs = matches.pairs
    f1 = Agreement.of(len(pairs), len(matches.false_positives), len(matches.false_negatives)).f1
    if f1 is None:  # neither predictions nor true instances
        return 1.0
    return f1 * sum(float(pair.iou) for pair in pairs) / max(len(pairs), 1)
