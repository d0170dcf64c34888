"""Select the raw predictions that become pseudo-labels."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from nbseg.pseudo.mask_nms import mask_nms
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore
from nbseg.pseudo.thresholds import (
    LEVELS,
    foreground_at_threshold,
    match_box_thresholds,
    soft_mask_histogram,
)


class Candidates(NamedTuple):
    """Holds the N predictions on an image that may become pseudo-labels, without their masks.

    Attributes:
        description: the image's entry in the COCO json.
        indices: positions of the candidates among all predictions on the image, shape (N,).
        scores: scores of the candidates, shape (N,).
        labels: class indices of the candidates, shape (N,).
        num_predictions: number of all predictions on the image.
        best_score: highest score of all predictions on the image; 0 if there are none.
    """

    description: dict[str, Any]
    indices: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    num_predictions: int
    best_score: float

    def above(
        self, thresholds: npt.NDArray[np.float64], keep_best: bool = False
    ) -> npt.NDArray[np.int64]:
        """Return the ``indices`` of the candidates whose score reaches their class's threshold.

        Args:
            thresholds: score threshold of each class, shape (C,).
            keep_best: whether to return the candidates with the highest score if no candidate
                reaches its threshold. If False, nothing is returned then. Candidates with an
                infinite threshold are never returned.
        """
        reached = thresholds[self.labels]
        chosen = self.scores >= reached
        if keep_best and not chosen.any():
            possible = np.isfinite(reached)
            chosen = possible & (self.scores >= self.scores.max(initial=0, where=possible))
        return self.indices[chosen]


def find_candidates(
    image: ImagePredictions, lowest_score: float, mask_nms_iou: float | None
) -> Candidates:
    """Find the predictions of an image that may become pseudo-labels.

    Args:
        image: raw predictions.
        lowest_score: predictions with a lower score are left out.
        mask_nms_iou: of two predictions whose masks have this IoU or more, at most one is kept.
            None keeps all predictions.
    """
    # Filter by score first, so that mask NMS compares fewer masks.
    indices = np.flatnonzero(image.scores >= lowest_score)
    if mask_nms_iou is not None:
        indices = indices[mask_nms(image.select(indices), mask_nms_iou)]
    description = {
        "id": image.image_id,
        "file_name": image.file_name,
        "height": image.height,
        "width": image.width,
    }
    return Candidates(
        description,
        indices,
        image.scores[indices],
        image.labels[indices],
        len(image.scores),
        float(image.scores.max(initial=0)),
    )


def with_progress(store: PredictionStore, activity: str) -> Iterable[ImagePredictions]:
    """Yield the images of a store, with a progress bar on stderr."""
    console = Console(stderr=True)
    return track(store, activity, total=len(store), transient=True, console=console)


def scores_and_labels(
    candidates: Sequence[Candidates],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return two arrays of shape (N,): the scores and the labels of all N candidates."""
    scores = np.concatenate([np.zeros(0, np.float32), *(image.scores for image in candidates)])
    labels = np.concatenate([np.zeros(0, np.int64), *(image.labels for image in candidates)])
    return scores, labels


def choose_box_thresholds(
    candidates: Sequence[Candidates],
    fixed: npt.NDArray[np.float64] | None,
    per_image: npt.NDArray[np.float64],
    floor: float,
    together: bool = False,
    keep_best: bool = False,
) -> npt.NDArray[np.float64]:
    """Choose the score threshold of each class.

    Args:
        candidates: candidates of all images.
        fixed: thresholds given by the user, shape (C,). None chooses the thresholds with which
            unlabeled images have on average as many pseudo-labels as ``per_image`` says.
        per_image: labeled instances of each class per labeled image, shape (C,).
        floor: lower bound of the chosen thresholds.
        together: whether one threshold is chosen for all classes by the sum of ``per_image``. If
            False, each class gets its own threshold. No effect if ``fixed`` is given.
        keep_best: whether an image in which no score reaches its threshold keeps its candidates
            with the highest score.

    Returns:
        float64, shape (C,); ``inf`` for a class that gets no pseudo-labels.

    Raises:
        ValueError: no pseudo-label would remain.
    """
    scores, labels = scores_and_labels(candidates)
    thresholds = fixed
    if thresholds is None:
        targets = per_image
        if together:
            labels, targets = np.zeros_like(labels), per_image.sum(keepdims=True)
        thresholds = match_box_thresholds(scores, labels, len(candidates), targets, floor)
        thresholds = np.broadcast_to(thresholds, per_image.shape)
    if not any(len(image.above(thresholds, keep_best)) for image in candidates):
        predictions = sum(image.num_predictions for image in candidates)
        best = max((image.best_score for image in candidates), default=0.0)
        setting = "label.floor" if fixed is None else "label.box_threshold"
        advice = f"train the teacher longer, or lower {setting}"
        if candidates and not predictions:
            # An untrained detector predicts many boxes with low scores.
            advice = (
                "the teacher predicts nothing at all, so its training has probably diverged: look "
                "at the losses in its log, and train it with a lower learning rate"
            )
        raise ValueError(
            f"no pseudo-label remains of {predictions} predictions on {len(candidates)} images "
            f"(best score {best:.3f}); {advice}"
        )
    return thresholds


def select_predictions(
    store: PredictionStore,
    candidates: Sequence[Candidates],
    thresholds: npt.NDArray[np.float64],
    activity: str,
    keep_best: bool = False,
) -> Iterator[ImagePredictions]:
    """Yield each image of the store with only the predictions that become pseudo-labels.

    Args:
        store: the store that the candidates were found in.
        candidates: candidates of all images, in the order of the store.
        thresholds: score threshold of each class, shape (C,).
        activity: text of the progress bar.
        keep_best: whether an image in which no score reaches its threshold keeps its candidates
            with the highest score.
    """
    for image, found in zip(with_progress(store, activity), candidates, strict=True):
        yield image.select(found.above(thresholds, keep_best))


def total_foreground(images: Iterable[ImagePredictions]) -> npt.NDArray[np.float64]:
    """Return, for each pixel threshold, the share of foreground in the boxes of all images.

    Returns:
        float64, shape (256,). Entry v is the fraction of the boxes' pixels whose mask probability
        is at least v / 255.

    Raises:
        ValueError: all boxes have an area of 0, or there are none.
    """
    histogram = np.zeros(LEVELS)
    for image in images:
        histogram += soft_mask_histogram(image.soft_masks, image.boxes)
    return foreground_at_threshold(histogram)
