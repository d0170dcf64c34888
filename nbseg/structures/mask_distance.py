"""Measure the distance of each pixel to the contour of a mask."""

import cv2
import numpy as np
import numpy.typing as npt


def signed_distance(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the distance of each pixel to the mask's contour, negative in the foreground.

    The contour runs between foreground and background pixels. The distance of a foreground pixel is
    the Euclidean distance between its center and the center of the nearest background pixel, minus
    0.5. The distance of a background pixel is computed in the same way from the nearest foreground
    pixel. The image's edge is not part of the contour.

    Args:
        mask: shape (H, W), uint8 of 0 and 1.

    Returns:
        Distances in pixels, shape (H, W), float32. If the mask has no background, all distances are
        -inf. If it has no foreground, all distances are inf.
    """
    foreground = mask.astype(bool)
    if foreground.all() or not foreground.any():
        return np.where(foreground, np.float32(-np.inf), np.float32(np.inf))
    # ``inside`` is 0 in the background, and ``outside`` is 0 in the foreground.
    inside, outside = (
        np.asarray(cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
        for side in (mask, 1 - mask)
    )
    half = np.float32(0.5)
    return np.where(foreground, half - inside, outside - half)
