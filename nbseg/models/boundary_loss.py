"""Supervise boundaries as BMask R-CNN does (Cheng et al., ECCV 2020, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nbseg.models.logits import at_least_float32
from nbseg.registry import MODELS


@MODELS.register_module()
class BoundaryLoss(nn.Module):
    """Computes dice loss plus binary cross-entropy of boundaries (BMask R-CNN, section 3).

    The dice term of each RoI is ``1 - (2 sum(pg) + 1) / (sum(p^2) + sum(g^2) + 1)``, where p is the
    predicted probability and g the target. Unlike the cross-entropy, which is a mean over all
    pixels, the dice term does not shrink if a boundary has few pixels.

    Args:
        bce_weight: factor on the cross-entropy, lambda in the BMask R-CNN paper.
        loss_weight: factor on the sum of both terms.
    """

    def __init__(self, bce_weight: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.bce_weight = bce_weight
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss, computed in float32 or better.

        Args:
            pred: logits, shape (R, S, S), R > 0.
            target: 0 or 1, shape (R, S, S), any dtype.
        """
        pred = at_least_float32(pred)
        target = target.to(pred)
        p, g = pred.sigmoid().flatten(1), target.flatten(1)
        overlap, size = (p * g).sum(1), (p * p).sum(1) + (g * g).sum(1)
        dice = 1 - (2 * overlap + 1) / (size + 1)
        bce = F.binary_cross_entropy_with_logits(pred, target)
        return self.loss_weight * (dice.mean() + self.bce_weight * bce)


def boundary_targets(masks: Tensor) -> Tensor:
    """Return the boundaries of binary masks: the pixels where their Laplacian is positive.

    These are the foreground pixels with background among their eight neighbors. Pixels outside
    the RoI count as background, because an object ends at its box.

    Args:
        masks: 0 or 1, shape (R, S, S), any dtype.

    Returns:
        0 or 1, with the shape and dtype of ``masks``.
    """
    kernel = torch.full((1, 1, 3, 3), -1.0, device=masks.device)
    kernel[..., 1, 1] = 8
    with torch.autocast(masks.device.type, enabled=False):
        laplacian = F.conv2d(masks[:, None].float(), kernel, padding=1)[:, 0]
    return (laplacian > 0).to(masks.dtype)
