"""Compute the boundary-preserving mask loss."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nbseg.ops._checks import check_tensor
from nbseg.ops._extension import check_built_for

MAX_SIZE_CUDA = 64  # the CUDA kernel keeps a whole RoI in the shared memory of one block


def bpm_mask_loss(
    logits: Tensor, targets: Tensor, labels: Tensor, *, gain: float = 3.0, border: str = "replicate"
) -> Tensor:
    """Compute a binary cross-entropy with larger weights at the edges of the predicted masks.

    For each RoI r, let ``x = logits[r, labels[r]]``, ``p = sigmoid(x)`` and ``q = |8 p - sum of the
    8 neighbors of p|``. The weight of a pixel is ``gain * q / mean(q)``, with the mean over the
    pixels of the RoI. If a RoI has no edge (``mean(q) < 1e-20``), every pixel has the weight
    ``gain``. The weights of a RoI form the boundary-preserving map of the Noisy Boundaries paper
    (arXiv 2203.13427). No gradient flows through the weights.

    The op is deterministic, also on a GPU.

    Args:
        logits: mask logits of R RoIs and C classes, shape (R, C, S, S), float32, float16 or
            bfloat16. The loss is computed with at least float32 precision, also under autocast.
            The gradient has the dtype of the logits.
        targets: shape (R, S, S), values in [0, 1], uint8, bool or float32.
        labels: class of each RoI, shape (R,), int64 in [0, C).
        gain: mean weight of the pixels of each RoI.
        border: padding of p around a RoI. ``"replicate"`` repeats the outermost pixels. ``"zeros"``
            pads with 0, which creates an edge wherever the object touches the RoI's border.

    Returns:
        The mean of ``weight * cross-entropy`` over all R * S * S pixels, a float32 scalar. It is 0
        if R is 0.

    Raises:
        TypeError: an argument is not a tensor or has a wrong dtype.
        ValueError: shapes or devices do not match, S is more than 64 on a GPU, or ``border`` is
            unknown.
        IndexError: a label lies outside [0, C). On a GPU, a device-side assert fails instead, and
            the process can no longer use the GPU.
        RuntimeError: the tensors are on a GPU, but nbseg was built without CUDA.
    """
    check_tensor(
        "logits", logits, ("R", "C", "S", "S"), (torch.float32, torch.float16, torch.bfloat16)
    )
    rois, _, size, width = logits.shape
    if size != width:
        raise ValueError(f"logits must have square masks, found {size} x {width}")
    mask_dtypes = (torch.uint8, torch.bool, torch.float32)
    check_tensor("targets", targets, (rois, size, size), mask_dtypes, logits.device)
    check_tensor("labels", labels, (rois,), (torch.int64,), logits.device)
    if border not in ("replicate", "zeros"):
        raise ValueError(f'border must be "replicate" or "zeros", found {border!r}')
    check_built_for(logits)
    if logits.is_cuda and size > MAX_SIZE_CUDA:
        raise ValueError(
            f"logits must have masks of at most {MAX_SIZE_CUDA} x {MAX_SIZE_CUDA} on a GPU, found "
            f"{size} x {size}; make the masks smaller or use a CPU, which has no limit"
        )
    loss: Tensor = _BpmMaskLoss.apply(  # type: ignore[no-untyped-call]
        logits, targets, labels, float(gain), border
    )
    return loss


# The op needs no autocast rule: it accepts float16 and computes in float32.


def _fake(
    logits: Tensor, targets: Tensor, labels: Tensor, gain: float, border: str
) -> tuple[Tensor, Tensor]:
    loss = logits.new_empty((), dtype=torch.float32)
    return loss, targets.new_empty(targets.shape, dtype=torch.float32)


def _fake_backward(
    grad_loss: Tensor, channel_grad: Tensor, labels: Tensor, num_classes: int, dtype: torch.dtype
) -> Tensor:
    rois, size, _ = channel_grad.shape
    return channel_grad.new_empty((rois, num_classes, size, size), dtype=dtype)


def _save(ctx: Any, logits: Tensor, labels: Tensor, channel_grad: Tensor) -> None:
    ctx.save_for_backward(channel_grad, labels)
    ctx.num_classes, ctx.dtype = logits.shape[1], logits.dtype


def _backward(ctx: Any, grad_loss: Tensor, *_: None) -> tuple[Tensor | None, ...]:
    channel_grad, labels = ctx.saved_tensors
    grad = torch.ops.nbseg.bpm_mask_loss_backward.default(
        grad_loss, channel_grad, labels, ctx.num_classes, ctx.dtype
    )
    return grad, None, None, None, None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, _, labels, _, _ = inputs
    _, channel_grad = output
    ctx.mark_non_differentiable(channel_grad)
    ctx.set_materialize_grads(False)  # do not make a gradient of zeros for channel_grad
    _save(ctx, logits, labels, channel_grad)


class _BpmMaskLoss(torch.autograd.Function):
    """Computes the same loss and gradient as the registered op ``nbseg::bpm_mask_loss``.

    A call of this function takes about two thirds of the time of a call of the registered op.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, labels: Tensor, gain: float, border: str
    ) -> Tensor:
        op = torch.ops.nbseg.bpm_mask_loss_forward.default
        loss: Tensor
        loss, channel_grad = op(logits, targets, labels, gain, border)
        _save(ctx, logits, labels, channel_grad)
        return loss

    backward = staticmethod(once_differentiable(_backward))  # type: ignore[assignment]


torch.library.register_fake("nbseg::bpm_mask_loss", _fake)
torch.library.register_fake("nbseg::bpm_mask_loss_forward", _fake)
torch.library.register_fake("nbseg::bpm_mask_loss_backward", _fake_backward)
torch.library.register_autograd("nbseg::bpm_mask_loss", _backward, setup_context=_setup_context)
