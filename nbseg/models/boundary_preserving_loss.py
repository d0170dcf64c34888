"""Define the boundary-preserving mask loss (paper, section 3.3)."""

from torch import Tensor, nn

from nbseg.ops import bpm_mask_loss
from nbseg.registry import MODELS


@MODELS.register_module()
class BoundaryPreservingLoss(nn.Module):
    """Weights a mask head's binary cross-entropy by the boundary-preserving map (BPM).

    This loss replaces ``CrossEntropyLoss(use_mask=True)`` as the ``loss_mask`` of any MMDetection
    mask head. Pixels at the boundary of the predicted soft mask, where the mask's Laplacian is
    large, weigh more than others. The weights of one RoI have mean ``gain``. No gradient flows
    through the weights.

    Args:
        gain: mean weight of each RoI.
        border: ``"replicate"`` extends the soft mask over the RoI's border before the Laplacian;
            ``"zeros"`` pads the mask with zeros; an object that touches the border then has an
            edge there.
        loss_weight: factor on the loss.
    """

    def __init__(
        self, gain: float = 3.0, border: str = "replicate", loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.gain = gain
        self.border = border
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss.

        Args:
            pred: logits, shape (R, C, S, S).
            target: binary masks, shape (R, S, S), uint8, bool or floating.
            label: class of each RoI, shape (R,), int64; all 0 if C is 1.
        """
        loss = bpm_mask_loss(pred, target, label, gain=self.gain, border=self.border)
        return self.loss_weight * loss
