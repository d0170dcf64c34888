"""Distances of pixels to the contour of a mask."""

import cv2
import numpy as np
import numpy.typing as npt


def signed_distance(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return each pixel's distance to the mask's contour, negative in the foreground.

    The contour runs between pixels: the distance is the Euclidean distance from the pixel's center
    to the center of the nearest pixel of the other side, less 0.5. The image's edge is no contour.

    Args:
        mask: shape (H, W), uint8 of 0 and 1.

    Returns:
        Shape (H, W), float32, in pixels; -inf or inf in a mask that is all foreground or all
        background.
    """
    foreground = mask.astype(bool)
    if foreground.all() or not foreground.any():
        return np.where(foreground, np.float32(-np.inf), np.float32(np.inf))
    # Each transform is 0 on the other side.
    inside, outside = (
        np.asarray(cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
        for side in (mask, 1 - mask)
    )
    half = np.float32(0.5)
    return np.where(foreground, half - inside, outside - half)
