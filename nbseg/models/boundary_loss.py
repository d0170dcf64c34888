"""Define the boundary loss and boundary targets of BMask R-CNN (Cheng et al., ECCV 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbseg.models.logits import at_least_float32
from nbseg.registry import MODELS


@MODELS.register_module()
class BoundaryLoss(nn.Module):
    """Computes the boundary loss of BMask R-CNN (section 3): dice loss plus cross-entropy.

    The dice loss of a RoI is ``1 - (2 sum(pg) + 1) / (sum(p^2) + sum(g^2) + 1)``. Here p is a
    pixel's predicted boundary probability, g is the pixel's target (0 or 1), and the sums run over
    the pixels of the RoI. The dice losses are averaged over the RoIs.

    The cross-entropy is a mean over all pixels. A boundary of few pixels therefore has little
    influence on the cross-entropy, but more influence on the dice loss.

    Args:
        bce_weight: factor on the cross-entropy, lambda in the BMask R-CNN paper.
        loss_weight: factor on the sum of dice loss and cross-entropy.
    """

    def __init__(self, bce_weight: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.bce_weight = bce_weight
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar: float64 for float64 logits, otherwise float32.

        Args:
            pred: boundary logits of R RoIs, shape (R, S, S); R must be positive.
            target: boundary targets, 0 or 1, shape (R, S, S), any dtype.
        """
        pred = at_least_float32(pred)
        target = target.to(pred)
        p, g = pred.sigmoid().flatten(1), target.flatten(1)
        overlap, size = (p * g).sum(1), (p * p).sum(1) + (g * g).sum(1)
        dice = 1 - (2 * overlap + 1) / (size + 1)
        bce = F.binary_cross_entropy_with_logits(pred, target)
        return self.loss_weight * (dice.mean() + self.bce_weight * bce)


def boundary_targets(masks: Tensor) -> Tensor:
    """Mark the boundary pixels of binary masks.

    A boundary pixel is a foreground pixel with at least one background pixel among its eight
    neighbors. Equivalently, 8 times the pixel minus the sum of its eight neighbors is positive.
    Pixels outside the RoI count as background, so a foreground pixel at the RoI's border is always
    a boundary pixel.

    Args:
        masks: 0 or 1, shape (R, S, S), any dtype.

    Returns:
        1 at boundary pixels and 0 elsewhere, with the shape and dtype of ``masks``.
    """
    kernel = torch.full((1, 1, 3, 3), -1.0, device=masks.device)
    kernel[..., 1, 1] = 8
    with torch.autocast(masks.device.type, enabled=False):
        laplacian = F.conv2d(masks[:, None].float(), kernel, padding=1)[:, 0]
    return (laplacian > 0).to(masks.dtype)
