"""Define the boundary-preserving mask loss (Noisy Boundaries, arXiv 2203.13427, section 3.3)."""

from torch import Tensor, nn

from nbseg.ops import bpm_mask_loss
from nbseg.registry import MODELS


@MODELS.register_module()
class BoundaryPreservingLoss(nn.Module):
    """Weights a mask head's binary cross-entropy by the boundary-preserving map (BPM).

    This loss replaces ``CrossEntropyLoss(use_mask=True)`` as the ``loss_mask`` of any MMDetection
    mask head. The weight of a pixel is proportional to the magnitude of the Laplacian of the
    predicted probabilities. Pixels at the boundary of the predicted mask therefore weigh more than
    other pixels. The mean weight in each RoI is ``gain``. If the predicted mask has no boundary,
    every weight is ``gain``. No gradient flows through the weights.

    Args:
        gain: mean weight of the pixels of each RoI.
        border: padding of the predicted probabilities for the Laplacian. ``"replicate"`` repeats
            the outermost pixels. ``"zeros"`` pads with zeros, which creates an edge wherever the
            object touches the RoI's border.
        loss_weight: factor on the loss.

    Raises:
        ValueError: in ``forward``, if ``border`` is neither ``"replicate"`` nor ``"zeros"``.
    """

    def __init__(
        self, gain: float = 3.0, border: str = "replicate", loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.gain = gain
        self.border = border
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, label: Tensor) -> Tensor:
        """Return the loss, a float32 scalar; 0 if there are no RoIs.

        Args:
            pred: logits of R RoIs and C classes, shape (R, C, S, S), float32, float16 or bfloat16.
                On a GPU, S is at most 64.
            target: binary masks, shape (R, S, S), uint8, bool or float32.
            label: class of each RoI, shape (R,), int64; all 0 if C is 1.
        """
        loss = bpm_mask_loss(pred, target, label, gain=self.gain, border=self.border)
        return self.loss_weight * loss
