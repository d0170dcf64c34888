"""Define ``Detections``, which holds the predictions of a model for one image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Detections:
    """Holds the detections of one image in descending order of score.

    Attributes:
        boxes: (N, 4) float32, x0, y0, x1, y1 in image pixels.
        scores: (N,) float32.
        labels: (N,) int64, indices into the model's class names.
        rles: N masks of the image's size as COCO RLEs, ``{"size": [H, W], "counts": bytes}``.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    rles: list[dict[str, Any]]
