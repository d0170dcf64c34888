"""A mask loss that weighs pixels by their distance to the predicted boundary."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbseg.registry import MODELS


@MODELS.register_module()
class DistanceToBoundaryLoss(nn.Module):
    """Binary cross-entropy of a mask head, re-weighted by distance to the predicted boundary.

    The costlier map that the paper's section 3.3 compares its Laplacian with, in the place of
    ``BoundaryPreservingLoss``: the predicted mask is where the probability is 0.5 or more, d a
    pixel's distance to its boundary (``distance_to_boundary``), and the weight is proportional to
    ``exp(-d^2 / (2 sigma^2))``, as in U-Net (Ronneberger et al., 2015, eq. 2). As with the
    boundary-preserving map, the weights of one RoI have mean ``gain`` and carry no gradient, and a
    mask without a boundary weighs ``gain`` everywhere, so that only the shape of the map differs.

    The exact distance transform is OpenCV's: on a GPU each call waits for the masks and computes
    the weights on the CPU.

    Args:
        gain: mean weight of each RoI.
        sigma: how fast the weight falls, in mask pixels.
        loss_weight: factor on the loss.
    """

    def __init__(self, gain: float = 3.0, sigma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"DistanceToBoundaryLoss: sigma must be positive, found {sigma}")
        self.gain = gain
        self.sigma = sigma
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss, computed in float32 or better; 0 without RoIs.

        Args:
            pred: logits, shape (R, C, S, S).
            target: binary masks, shape (R, S, S), uint8, bool or floating.
            label: class of each RoI, shape (R,), int64; all 0 if C is 1.
        """
        logits = pred[torch.arange(len(pred), device=pred.device), label]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        weights = torch.from_numpy(self._weights((logits >= 0).cpu().numpy())).to(logits)
        loss = F.binary_cross_entropy_with_logits(
            logits, target.to(logits), weights, reduction="sum"
        )
        return self.loss_weight * loss / max(logits.numel(), 1)

    def _weights(self, masks: np.ndarray) -> np.ndarray:
        """Weights of predicted masks, both of shape (R, S, S), float64."""
        closeness = np.exp(-(distance_to_boundary(masks) ** 2) / (2 * self.sigma**2))
        means = closeness.mean(axis=(1, 2), keepdims=True)
        # Without a boundary, or with a sigma so small that every weight underflows.
        flat = means < np.finfo(np.float64).tiny
        return np.where(flat, self.gain, self.gain * closeness / np.where(flat, 1, means))


def distance_to_boundary(masks: np.ndarray) -> np.ndarray:
    """Return each pixel's distance to its mask's boundary.

    The boundary runs half a pixel before the nearest pixel of the other side: the result is the
    Euclidean distance between the two pixels' centers, less 0.5.

    Args:
        masks: shape (R, S, S), bool.

    Returns:
        Shape (R, S, S), float64; infinite in a mask that is all foreground or all background.
    """
    distances = np.full(masks.shape, np.inf)
    for mask, distance in zip(masks.astype(np.uint8), distances, strict=True):
        if 0 < mask.sum() < mask.size:
            # Each is zero where the other counts: the distance to the other side's nearest center.
            inside, outside = (
                cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
                for side in (mask, 1 - mask)
            )
            distance[:] = inside + outside - 0.5
    return distances
