"""What is found in one image, whoever found it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Detections:
    """Objects found in one image, by descending score.

    Attributes:
        boxes: (N, 4) float32, x0, y0, x1, y1 in pixels of the image.
        scores: (N,) float32.
        labels: (N,) int64, indices into ``the classes of the model``.
        rles: N COCO run lengths ``{"size": [H, W], "counts": bytes}`` at the image's size.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    rles: list[dict[str, Any]]
