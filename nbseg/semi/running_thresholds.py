"""Choose the thresholds of pseudo-labels by the labeled images while the student trains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmengine.dist import all_reduce
from mmengine.structures import InstanceData
from torch import Tensor, nn

from nbseg.pseudo.thresholds import (
    LEVELS,
    foreground_at_threshold,
    match_pixel_threshold,
    soft_mask_histogram,
)

BINS = 1000  # number of bins in each class's histogram of scores from 0 to 1


class RunningThresholds(nn.Module):
    """Chooses the score and pixel thresholds of pseudo-labels from running counts.

    The thresholds are chosen by this rule: unlabeled images have on average as many pseudo-labels
    as labeled images have instances, and the share of foreground inside the boxes is the same in
    both sets.

    The counts of labeled instances add up. The counts of the teacher's predictions fade, because
    the teacher changes: in each iteration, the old counts are multiplied by ``decay`` before new
    counts are added. All counts include the images of all processes. The counts are buffers, so
    checkpoints contain them.

    All images are counted as the networks see them: after a random crop, only the objects in the
    crop are counted.

    Args:
        num_classes: number C of classes.
        box_threshold: lowest score of a pseudo-label: ``"match"`` to choose the threshold of each
            class by the rule above, one score for all classes, or a list with the score of each
            class in the order of the labels.
        pixel_threshold: lowest probability of a foreground pixel: ``"match"`` to choose the
            threshold by the rule above, or a number.
        floor: lower bound of the score thresholds that ``"match"`` chooses.
        decay: factor by which the counts of predictions are multiplied in each iteration.

    Raises:
        ValueError: a threshold is neither ``"match"`` nor between 0 and 1, ``floor`` or ``decay``
            is not between 0 and 1, or the number of scores differs from the number of classes.
    """

    scores: Tensor  # number of the teacher's predictions by class and score, (C, BINS)
    images: Tensor  # number of unlabeled images whose predictions are counted
    soft_masks: Tensor  # pixels inside the pseudo-labels' boxes, by soft-mask value, (LEVELS,)
    labeled: Tensor  # number of labeled instances by class, (C,)
    labeled_images: Tensor  # number of labeled images
    labeled_pixels: Tensor  # numbers of foreground pixels and of all pixels in labeled boxes, (2,)

    def __init__(
        self,
        num_classes: int,
        box_threshold: str | float | Sequence[float] = "match",
        pixel_threshold: str | float = "match",
        floor: float = 0.1,
        decay: float = 0.99,
    ) -> None:
        super().__init__()
        fixed = None if box_threshold == "match" else np.array(box_threshold, np.float64)
        if fixed is not None and fixed.ndim == 0:
            fixed = np.full(num_classes, fixed)
        if fixed is not None and fixed.shape != (num_classes,):
            raise ValueError(
                f"box_threshold must have one score for each of {num_classes} classes, found "
                f"{box_threshold!r}"
            )
        pixel = None if pixel_threshold == "match" else float(pixel_threshold)
        given = {"box_threshold": fixed, "pixel_threshold": pixel, "floor": floor, "decay": decay}
        for name, values in given.items():
            if values is not None and (np.clip(values, 0, 1) != values).any():
                raise ValueError(f"{name} must be between 0 and 1, found {values}")
        self.fixed = fixed
        self.fixed_pixel = pixel
        self.floor = floor
        self.decay = decay
        shapes: Mapping[str, tuple[int, ...]] = {
            "scores": (num_classes, BINS),
            "images": (),
            "soft_masks": (LEVELS,),
            "labeled": (num_classes,),
            "labeled_images": (),
            "labeled_pixels": (2,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @property
    def lowest_score(self) -> float:
        """Return a lower bound of the score thresholds of all classes."""
        return self.floor if self.fixed is None else float(self.fixed.min())

    def count_labeled(self, batch: Sequence[InstanceData]) -> None:
        """Count the instances and the foreground pixels in a batch's labeled images.

        Args:
            batch: the instances of each image, with ``labels`` (N,), ``bboxes`` (N, 4) xyxy in
                pixels, and ``masks``, whose attribute ``areas`` is read.
        """
        counts = np.zeros(len(self.labeled))
        pixels = np.zeros(2)
        for instances in batch:
            counts += np.bincount(instances.labels.cpu().numpy(), minlength=len(counts))
            width, height = (instances.bboxes[:, 2:] - instances.bboxes[:, :2]).T
            pixels += instances.masks.areas.sum(), float((width * height).sum())
        self._add({"labeled": counts, "labeled_images": len(batch), "labeled_pixels": pixels}, 1.0)

    def count_scores(self, batch: Sequence[InstanceData]) -> None:
        """Count the scores of the teacher's predictions on a batch of unlabeled images.

        Args:
            batch: the predictions on each image, with ``labels`` (N,) and ``scores`` (N,).
        """
        histogram = np.zeros(self.scores.shape)
        for instances in batch:
            bins = (instances.scores.double().cpu().numpy() * BINS).astype(np.int64)
            np.add.at(histogram, (instances.labels.cpu().numpy(), bins.clip(0, BINS - 1)), 1)
        self._add({"scores": histogram, "images": len(batch)}, self.decay)

    def count_pixels(
        self, batch: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]]
    ) -> None:
        """Count the values of the soft masks of a batch's pseudo-labels.

        Args:
            batch: for each image, the soft masks, (N, S, S) uint8, and the boxes, (N, 4) xyxy in
                pixels. A soft mask's value / 255 is the probability.
        """
        histogram = sum((soft_mask_histogram(*image) for image in batch), np.zeros(LEVELS))
        self._add({"soft_masks": histogram}, self.decay)

    def box_thresholds(self) -> npt.NDArray[np.float64]:
        """Return the score threshold of each class, shape (C,), float64.

        If the argument ``box_threshold`` has scores, these scores are returned. With ``"match"``,
        each threshold is ``floor`` or a multiple of 0.001 above ``floor``. The threshold of a class
        is chosen so that the number of predictions per unlabeled image that reach the threshold is
        closest to the number of the class's instances per labeled image. A class without labeled
        instances has the threshold ``inf``, which allows no pseudo-label.
        """
        if self.fixed is not None:
            return self.fixed
        above = self.scores.cpu().numpy()[:, ::-1].cumsum(axis=1)[:, ::-1]  # (C, BINS)
        per_image = self.labeled.cpu().numpy() / max(float(self.labeled_images), 1.0)
        first = int(np.ceil(self.floor * BINS))
        thresholds = np.full(len(above), np.inf)
        for label, wanted in enumerate(per_image * float(self.images)):
            counts = above[label, first:]
            if wanted == 0:
                continue
            if not len(counts) or counts[0] <= wanted:
                thresholds[label] = self.floor
                continue
            # If several edges are equally close, choose the highest edge.
            nearest = len(counts) - 1 - int(np.argmin(np.abs(counts - wanted)[::-1]))
            thresholds[label] = (first + nearest) / BINS
        return thresholds

    def pixel_threshold(self) -> float:
        """Return the pixel threshold: a pixel is foreground if its probability reaches this value.

        If the argument ``pixel_threshold`` is a number, this number is returned. Otherwise, the
        threshold is chosen so that the share of foreground pixels inside the boxes is the same for
        pseudo-labels and labeled instances. Before both have been counted, the threshold is 0.5.
        """
        if self.fixed_pixel is not None:
            return self.fixed_pixel
        foreground, inside = self.labeled_pixels.tolist()
        histogram = self.soft_masks.cpu().numpy()
        if inside <= 0 or histogram.sum() <= 0:
            return 0.5
        return match_pixel_threshold(
            foreground_at_threshold(histogram), min(foreground / inside, 1.0)
        )

    def _add(self, counts: Mapping[str, Any], decay: float) -> None:
        for name, values in counts.items():
            buffer = getattr(self, name)
            new = torch.as_tensor(values, dtype=torch.float64, device=buffer.device)
            all_reduce(new)
            buffer.mul_(decay).add_(new)
