"""Define a mask loss that weights pixels by their distance to the predicted boundary."""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbseg.models.logits import at_least_float32, select_masks
from nbseg.registry import MODELS
from nbseg.structures import signed_distance


@MODELS.register_module()
class DistanceToBoundaryLoss(nn.Module):
    """Weights a mask head's binary cross-entropy by each pixel's distance to the boundary.

    This loss is an alternative to ``BoundaryPreservingLoss``. Its weights depend on distances
    instead of the Laplacian. Section 3.3 of the Noisy Boundaries paper (arXiv 2203.13427) considers
    distances, but does not use distances because computing them slows down the training.

    The predicted mask consists of the pixels with a probability of 0.5 or more. Let d be a pixel's
    distance to the boundary of this mask (``distance_to_boundary``). The pixel's weight is
    proportional to ``exp(-d^2 / (2 sigma^2))``, as in U-Net (Ronneberger et al., 2015, eq. 2).

    As in ``BoundaryPreservingLoss``:

    - The mean weight in each RoI is ``gain``.
    - No gradient flows through the weights.
    - If a mask has no boundary, every weight is ``gain``.

    OpenCV computes the exact distances on the CPU. If the masks are on a GPU, each call waits until
    the masks are copied to the CPU and the distances are computed.

    Args:
        gain: mean weight of the pixels of each RoI.
        sigma: standard deviation of the Gaussian above, in mask pixels. A larger value gives more
            weight to pixels far from the boundary.
        loss_weight: factor on the loss.

    Raises:
        ValueError: ``sigma`` is not positive.
    """

    def __init__(self, gain: float = 3.0, sigma: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"DistanceToBoundaryLoss: sigma must be positive, found {sigma}")
        self.gain = gain
        self.sigma = sigma
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Return the loss, a scalar; 0 if there are no RoIs.

        The loss is float64 for float64 logits, otherwise float32.

        Args:
            pred: logits of R RoIs and C classes, shape (R, C, S, S).
            target: binary masks, shape (R, S, S), uint8, bool or floating-point.
            label: class of each RoI, shape (R,), int64; all 0 if C is 1.
        """
        logits = at_least_float32(select_masks(pred, label))
        weights = torch.from_numpy(self._weights((logits >= 0).cpu().numpy())).to(logits)
        loss = F.binary_cross_entropy_with_logits(
            logits, target.to(logits), weights, reduction="sum"
        )
        return self.loss_weight * loss / max(logits.numel(), 1)

    def _weights(self, masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return each pixel's weight in the loss, shape (R, S, S).

        Args:
            masks: predicted masks, shape (R, S, S), bool.
        """
        closeness = np.exp(-(distance_to_boundary(masks) ** 2) / (2 * self.sigma**2))
        means = closeness.mean(axis=(1, 2), keepdims=True)
        # A flat map has no boundary, or sigma is so small that every weight underflows.
        flat = means < np.finfo(np.float64).tiny
        return np.where(flat, self.gain, self.gain * closeness / np.where(flat, 1, means))


def distance_to_boundary(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return each pixel's distance to the boundary of its mask, in pixels.

    The boundary runs between foreground and background pixels. The distance of a foreground pixel
    is the Euclidean distance between its center and the center of the nearest background pixel,
    minus 0.5. The distance of a background pixel is computed in the same way from the nearest
    foreground pixel.

    Args:
        masks: shape (R, S, S), bool; True is foreground.

    Returns:
        Shape (R, S, S), float64; infinite in a mask that is all foreground or all background.
    """
    distances = np.zeros(masks.shape)
    for mask, distance in zip(masks.astype(np.uint8), distances, strict=True):
        distance[:] = np.abs(signed_distance(mask))
    return distances
