"""Measure how unsure a model is about an image, from the model's stored predictions.

The stored scores and soft masks are means over several views of the image, such as scaled and
flipped copies. A view that missed the object counts as a score of 0. If the views disagree, the
means lie between 0 and 1, so the entropy of scores and soft masks is high.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nbseg.pseudo.predictions import ImagePredictions, PredictionStore

# Predictions with a lower score are ignored as noise. The default of ``label.floor`` is the same
# number, so by default such predictions do not become pseudo-labels either.
LOWEST_SCORE = 0.1


def uncertainty(image: ImagePredictions) -> float:
    """Return how unsure a model is about an image.

    The uncertainty is the mean entropy of the scores times the mean entropy of the soft masks. Both
    means are over the predictions with a score of 0.1 or more. An entropy is in bits, and the
    entropy of a soft mask is the mean over the cells of the mask.

    Returns:
        The uncertainty, from 0 to 1. NaN if no prediction has a score of 0.1 or more.
    """
    kept = image.scores >= LOWEST_SCORE
    if not kept.any():
        return float("nan")
    of_values = _entropy(np.arange(256) / 255)
    of_masks = of_values[image.soft_masks[kept]].mean()
    return float(_entropy(image.scores[kept]).mean() * of_masks)


def check_predicted(store: PredictionStore, names: Sequence[str]) -> None:
    """Check that a prediction store has predictions of all named images.

    Args:
        store: a model's predictions, which a run stored.
        names: file names of the images, written as in the store.

    Raises:
        ValueError: the store has no entry for an image.
    """
    found = set(store.file_names().values())
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{store.folder} has no predictions of {len(missing)} of the {len(names)} unlabeled "
            f"images, for example {missing[0]}; give the folder pseudo_labels/predictions of a run "
            "that predicted the same unlabeled images"
        )


def uncertainties(store: PredictionStore, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the uncertainty of each of N named images, shape (N,).

    An image that has no prediction with a score of 0.1 or more gets the median uncertainty of the
    other images. If no image has such a prediction, every image gets the uncertainty 1.

    Args:
        store: a model's predictions, which a run stored.
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
    """Return the binary entropy of each probability in bits; the shape is kept."""
    inside = np.clip(probability.astype(np.float64), 1e-12, 1 - 1e-12)
    bits: npt.NDArray[np.float64] = inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)
    return -bits
