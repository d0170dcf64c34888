"""Define a focal loss for box heads whose class scores come from a softmax."""

import torch
import torch.nn.functional as F
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn

from nbseg.models.logits import at_least_float32
from nbseg.registry import MODELS


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Multiplies each box's cross-entropy by ``(1 - p)^gamma``.

    Here p is the predicted probability of the true class. The formula is eq. 4 of Lin et al.,
    *Focal Loss for Dense Object Detection*, 2017. In that paper p comes from a sigmoid. Here p
    comes from a softmax over C classes and the background. With ``gamma=0``, the loss equals the
    cross-entropy.

    The loss replaces ``CrossEntropyLoss`` as the ``loss_cls`` of MMDetection's box heads, which
    predict with a softmax. MMDetection's ``FocalLoss`` does not fit these heads: it uses one
    sigmoid per class and has no output for the background.

    In the tables of the Noisy Boundaries paper, the rows marked § use this loss.

    Args:
        gamma: exponent; a larger value gives well classified boxes less weight.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        loss_weight: factor on the loss.

    Raises:
        ValueError: ``gamma`` is negative.
    """

    def __init__(
        self, gamma: float = 2.0, reduction: str = "mean", loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f"SoftmaxFocalLoss: gamma must not be negative, found {gamma}")
        self.gamma = gamma
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Return the loss, a scalar; for the reduction ``"none"``, a tensor of shape (N,).

        The loss is float64 for float64 logits, otherwise float32.

        Args:
            cls_score: logits, shape (N, C + 1).
            label: class of each box, shape (N,), int64; the value C means background.
            weight: factor on each box's loss, shape (N,); None means 1 for every box.
            avg_factor: divisor of the summed loss for the reduction ``"mean"``; None means N.
            reduction_override: reduction in this call; None means the class's ``reduction``.
        """
        logits = at_least_float32(cls_score)
        log_p = F.log_softmax(logits, dim=1).gather(1, label[:, None]).squeeze(1)
        # If p rounds to 1 and gamma is below 1, the power's gradient is infinite without a clamp.
        wrong = (-log_p.expm1()).clamp(min=torch.finfo(logits.dtype).tiny)
        loss = wrong**self.gamma * -log_p
        reduction = reduction_override or self.reduction
        reduced: Tensor = weight_reduce_loss(loss, weight, reduction, avg_factor)
        return self.loss_weight * reduced
