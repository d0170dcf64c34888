"""Keep the losses of unlabeled images from exploding."""

import math

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn


class LossLimit(nn.Module):
    """Scales the losses of unlabeled images down if they exceed a limit.

    The limit is ``times`` the losses of the batch's labeled images, or ``times`` the running mean
    of the unlabeled images' losses, whichever is higher. The mean is a buffer, so a checkpoint
    holds it.

    Args:
        times: see above.
        momentum: share of each iteration in the running mean.
    """

    mean: Tensor  # float64

    def __init__(self, times: float = 10.0, momentum: float = 0.01) -> None:
        super().__init__()
        self.times = times
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))

    def scale(self, sup: float, unsup: float) -> float:
        """Return the factor, at most 1, that keeps the unlabeled images' losses below their limit.

        Losses that are not finite get the factor 1, because they stop the training
        (``nbseg.engine.non_finite_loss``).

        Args:
            sup: sum of the losses of the batch's labeled images.
            unsup: sum of the losses of its unlabeled images.
        """
        sums = torch.tensor([sup, unsup], dtype=torch.float64, device=self.mean.device)
        all_reduce(sums, op="mean")
        sup, unsup = sums.tolist()
        limit = self.times * max(sup, float(self.mean))
        if not math.isfinite(unsup) or not math.isfinite(limit) or limit <= 0:
            return 1.0
        kept = min(unsup, limit)
        self.mean += (kept - self.mean) * (self.momentum if self.mean > 0 else 1.0)
        return kept / unsup if unsup > 0 else 1.0
