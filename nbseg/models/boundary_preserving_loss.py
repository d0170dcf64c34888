"""Define the boundary-preserving mask loss (Noisy Boundaries paper, section 3.3)."""

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
        gain: mean weight of the pixels of each RoI.
        border: padding of the soft mask before the Laplacian. ``"replicate"`` repeats the outermost
            pixels. ``"zeros"`` pads with zeros, which makes an edge wherever the object touches the
            RoI's border.
        loss_weight: factor on the loss.

    Raises:
        ValueError: ``border`` is unknown; ``forward`` raises this error.
    """

    def __init__(
        self, gain: float = 3.0, border: str = "replicate", loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.gain = gain
        self.border = border
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Return the loss, a float32 scalar; 0 without RoIs.

        Args:
            pred: logits, shape (R, C, S, S), float32, float16 or bfloat16; S is at most 64 on a
                GPU.
            target: binary masks, shape (R, S, S), uint8, bool or float32.
            label: class of each RoI, shape (R,), int64; all 0 if C is 1.
        """
        loss = bpm_mask_loss(pred, target, label, gain=self.gain, border=self.border)
        return self.loss_weight * loss
