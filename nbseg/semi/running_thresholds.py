"""Match the thresholds of pseudo-labels to the labeled images while the student trains."""

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

BINS = 1000  # of a class's histogram of scores from 0 to 1


class RunningThresholds(nn.Module):
    """Chooses thresholds by the rule of ``nbseg.pseudo.thresholds``, but from running counts.

    The counts of the labeled images add up. The counts of the teacher's predictions fade, because
    the teacher changes: those of each iteration count ``decay`` times as much as those of the next.
    All processes count the images of all processes. The counts are buffers, so a checkpoint holds
    them.

    Both kinds of images are counted as the networks see them. If a random crop shows a part of an
    image, the number of objects is that of the crop.

    Args:
        num_classes: number C of classes.
        box_threshold: ``"match"``, one score for all classes, or the score of each class in the
            order of the labels.
        pixel_threshold: ``"match"``, or the lowest probability of a foreground pixel.
        floor: lower bound of matched score thresholds.
        decay: see above.

    Raises:
        ValueError: a threshold is neither ``"match"`` nor between 0 and 1, or the number of scores
            differs from the number of classes.
    """

    scores: Tensor  # number of the teacher's predictions by class and score, (C, BINS)
    images: Tensor  # number of images of these predictions
    soft_masks: Tensor  # number of pixels inside the pseudo-labels' boxes by value, (LEVELS,)
    labeled: Tensor  # number of labeled instances by class, (C,)
    labeled_images: Tensor
    labeled_pixels: Tensor  # foreground and all pixels inside the labeled boxes, (2,)

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
        """Return the lowest score of a label."""
        return self.floor if self.fixed is None else float(self.fixed.min())

    def count_labeled(self, batch: Sequence[InstanceData]) -> None:
        """Count the instances of a batch's labeled images, and their pixels.

        Args:
            batch: one per image, with ``labels``, ``bboxes`` and ``masks`` that have ``areas``.
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
            batch: one per image, with ``labels`` and ``scores``.
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
            batch: soft masks (N, S, S), value / 255 is the probability, and boxes (N, 4) xyxy in
                pixels; one pair per image.
        """
        histogram = sum((soft_mask_histogram(*image) for image in batch), np.zeros(LEVELS))
        self._add({"soft_masks": histogram}, self.decay)

    def box_thresholds(self) -> npt.NDArray[np.float64]:
        """Return the score threshold of each class, shape (C,); ``inf`` keeps no instance.

        A matched threshold keeps as many of the counted predictions per image as the labeled images
        have instances, to the nearest edge of a bin.
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
            # Of several edges with the same count, the highest lies at the last score that is kept.
            nearest = len(counts) - 1 - int(np.argmin(np.abs(counts - wanted)[::-1]))
            thresholds[label] = (first + nearest) / BINS
        return thresholds

    def pixel_threshold(self) -> float:
        """Return the pixel threshold; 0.5 as long as there is nothing to match."""
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
