"""Measure how unsure a model is about an image, by stored predictions of several views.

A store does not tell the views apart. But the score of a prediction is the mean over the views, and
a view that missed the object counts as 0; the soft mask is the mean over the views, too. So where
the views disagree, scores and masks lie between 0 and 1, and their entropy is high.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nbseg.pseudo.predictions import ImagePredictions, PredictionStore

# Predictions with a lower score are noise; by default, they never become pseudo-labels either.
LOWEST_SCORE = 0.1


def uncertainty(image: ImagePredictions) -> float:
    """Return a model's uncertainty about an image: scores' entropy × masks' entropy, from 0 to 1.

    Both factors are means over the predictions with a score of 0.1 or more, in bits. The entropy of
    a mask is the mean over its cells.

    Returns:
        NaN if the image has no such prediction.
    """
    kept = image.scores >= LOWEST_SCORE
    if not kept.any():
        return float("nan")
    of_values = _entropy(np.arange(256) / 255)
    of_masks = of_values[image.soft_masks[kept]].mean()
    return float(_entropy(image.scores[kept]).mean() * of_masks)


def check_predicted(store: PredictionStore, names: Sequence[str]) -> None:
    """Check that a store has predictions of all named images.

    Args:
        store: the predictions.
        names: file names of the images, written as in the store.

    Raises:
        ValueError: the store has no entry for an image.
    """
    found = set(store.file_names().values())
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{store.folder} has no predictions of {len(missing)} of the {len(names)} unlabeled "
            f"images, for example {missing[0]}; use the predictions of a run with the same "
            "unlabeled images (its folder pseudo_labels/predictions)"
        )


def uncertainties(store: PredictionStore, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the uncertainty of each named image, shape (N,).

    If an image has no prediction with a score of 0.1 or more, the model saw nothing that it could
    be sure or unsure about. Such an image gets the median of the other images.

    Args:
        store: the predictions.
        names: file names of the images, written as in the store.

    Raises:
        ValueError: the store has no entry for an image.
    """
    check_predicted(store, names)
    found = {image.file_name: uncertainty(image) for image in store}
    values = np.array([found[name] for name in names])
    known = values[~np.isnan(values)]
    return np.where(np.isnan(values), np.median(known) if len(known) else 1.0, values)


def _entropy(probability: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the entropy of yes-or-no questions in bits, for the probability of a yes."""
    inside = np.clip(probability.astype(np.float64), 1e-12, 1 - 1e-12)
    bits: npt.NDArray[np.float64] = inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)
    return -bits
