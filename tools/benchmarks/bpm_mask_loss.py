"""Benchmark bpm_mask_loss, forward and backward, against the same formula in PyTorch.

``bpm_mask_loss`` is the mask loss of Noisy Boundaries, weighted by the boundary-preserving map.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from benchmarks.case import Case
from torch import Tensor

from nbseg.models.distance_to_boundary_loss import DistanceToBoundaryLoss
from nbseg.ops import bpm_mask_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def in_pytorch(logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of bpm_mask_loss, computed with PyTorch.

    ``avg_pool2d`` computes the 3x3 sum, because no other PyTorch operation is as fast.

    Args:
        logits: (R, C, S, S) float32.
        targets: (R, S, S) uint8, 0 or 1.
        labels: (R,) int64, the class of each RoI.
    """
    x = logits[torch.arange(len(logits), device=logits.device), labels]
    with torch.no_grad():
        p = F.pad(x.sigmoid()[:, None], (1, 1, 1, 1), mode="replicate")
        q = (9 * (p[:, 0, 1:-1, 1:-1] - F.avg_pool2d(p, 3, stride=1)[:, 0])).abs()
        weights = 3.0 * q / q.mean(dim=(1, 2), keepdim=True)
    return F.binary_cross_entropy_with_logits(x, targets.to(x.dtype), weights)


def step(loss: Loss, logits: Tensor, targets: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return a loss and its gradient with respect to the logits."""
    value = loss(logits, targets, labels)
    (grad,) = torch.autograd.grad(value, logits)
    return value.detach(), grad


def agree(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> bool:
    """Return whether loss and gradient differ by at most 0.1% of their norm (float32 rounding)."""
    return all(
        ((b - a).norm() <= 1e-3 * a.norm()).item() for a, b in zip(ours, theirs, strict=True)
    )


def same_form(ours: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    """Return whether the other loss is finite and both gradients have the same shape."""
    return bool(other[0].isfinite()) and ours[1].shape == other[1].shape


def arguments(rois: int, classes: int, scale: float, device: str) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(rois, classes, 28, 28, generator=generator)
    targets = (torch.rand(rois, 28, 28, generator=generator) < 0.5).to(torch.uint8)
    labels = torch.randint(classes, (rois,), generator=generator)
    return logits.to(device).requires_grad_(), targets.to(device), labels.to(device)


def cases(threads: int, device: str) -> Iterator[Case]:
    compiled = torch.compile(in_pytorch, dynamic=False)
    # nbseg computes logits near zero, such as those of an untrained mask head, in double precision,
    # and other logits in float.
    for rois, classes, scale in ((128, 8, 3), (512, 80, 3), (128, 8, 0.01)):
        given = arguments(rois, classes, scale, device)
        pixels = rois * 28 * 28
        yield Case(
            name=f"R {rois} C {classes}" + (" near zero" if scale < 1 else ""),
            nbseg=partial(step, bpm_mask_loss, *given),
            peers={
                "eager": partial(step, in_pytorch, *given),
                "torch.compile": partial(step, compiled, *given),
            },
            agree=agree,
            # Reads logits, targets and the gradient in the labels' channels; writes this gradient
            # and the dense one.
            bytes_moved=pixels * (4 + 1 + 4 + 4) + 4 * pixels * classes,
        )
    # Compare with DistanceToBoundaryLoss, whose map section 3.3 of the paper avoids as too costly.
    given = arguments(128, 8, 3, device)
    yield Case(
        name="R 128 C 8, the other map",
        nbseg=partial(step, bpm_mask_loss, *given),
        peers={"distance to boundary": partial(step, DistanceToBoundaryLoss(), *given)},
        agree=same_form,
    )
