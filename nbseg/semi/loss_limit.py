"""Limit the losses of unlabeled images, so that wrong pseudo-labels cannot make them explode."""

import math

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn


class LossLimit(nn.Module):
    """Scales down the losses of unlabeled images if their sum exceeds a limit.

    The limit is ``times * max(labeled, mean)``. In this formula, ``labeled`` is the sum of the
    losses of the batch's labeled images, and ``mean`` is the running mean of the scaled sums of the
    unlabeled images' losses. The running mean is a buffer, so checkpoints contain it.

    Args:
        times: factor in the limit.
        momentum: weight of each iteration in the running mean, from 0 to 1.
    """

    mean: Tensor  # float64

    def __init__(self, times: float = 10.0, momentum: float = 0.01) -> None:
        super().__init__()
        self.times = times
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))

    def scale(self, sup: float, unsup: float) -> float:
        """Return the factor, at most 1, that keeps the unlabeled images' losses within the limit.

        The sums are first averaged over all processes, so that all processes get the same factor.
        If the limit is 0, the factor is 1. If a sum is not finite, the factor is also 1, and
        ``NonFiniteLossHook`` stops the training.

        Args:
            sup: sum of the losses of the batch's labeled images.
            unsup: sum of the losses of the batch's unlabeled images.
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
