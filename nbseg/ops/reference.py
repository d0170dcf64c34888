"""Provide slow but readable Python versions of nbseg's compiled ops, for tests.

Each function computes the same result as the function of the same name in :mod:`nbseg.ops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nbseg.structures import CroppedMasks


def bpm_mask_loss(
    logits: Tensor, targets: Tensor, labels: Tensor, *, gain: float = 3.0, border: str = "replicate"
) -> Tensor:
    """Compute the boundary-preserving mask loss; see :func:`nbseg.ops.bpm_mask_loss`.

    The reference computes in the dtype of ``logits``, which may also be float64.
    """
    x = logits[torch.arange(len(logits), device=logits.device), labels]  # (R, S, S)
    with torch.no_grad():
        weights = _boundary_weights(x, gain, border)
    bce = F.binary_cross_entropy_with_logits(x, targets.to(x.dtype), reduction="none")
    return (weights * bce).sum() / max(x.numel(), 1)


def _boundary_weights(x: Tensor, gain: float, border: str) -> Tensor:
    # The Laplacian's magnitude is the same for p and 1 - p. Numbers close to 0 are more precise: at
    # x = 20, sigmoid(x) rounds to 1, but sigmoid(-x) is 2e-9. So use 1 - p if the mean of x is
    # positive.
    flipped = x.mean(dim=(1, 2), keepdim=True) > 0
    p = torch.sigmoid(torch.where(flipped, -x, x))
    if border == "replicate":
        padded = F.pad(p[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    else:
        outside = flipped.to(p.dtype)  # the padding p = 0 becomes 1 in a flipped RoI
        padded = F.pad(p - outside, (1, 1, 1, 1)) + outside
    windows = padded.unfold(1, 3, 1).unfold(2, 3, 1).sum(dim=(-2, -1))
    q = (9 * p - windows).abs()
    mean_q = q.mean(dim=(1, 2), keepdim=True)
    return torch.where(mean_q < 1e-20, torch.full_like(q, gain), gain * q / mean_q)


def multires_mask_targets(
    masks: CroppedMasks, boxes: Tensor, gt_inds: Tensor, sizes: Sequence[int] = (28, 14)
) -> tuple[Tensor, ...]:
    """Make mask targets of several sizes; see :func:`nbseg.ops.multires_mask_targets`."""
    bitmaps = torch.from_numpy(masks.to_bitmaps()).double()
    limit = boxes.new_tensor([masks.width, masks.height, masks.width, masks.height])
    targets = []
    for size in sizes:
        soft = torch.zeros(len(boxes), size, size, dtype=torch.float64)
        for r, (box, gt_ind) in enumerate(zip(boxes, gt_inds.tolist(), strict=True)):
            x0, y0, x1, y1 = torch.minimum(box.clamp(min=0), limit)
            rows = _bin_weights(y0, y1, size, masks.height)
            columns = _bin_weights(x0, x1, size, masks.width)
            soft[r] = rows @ bitmaps[gt_ind] @ columns.T
        targets.append((soft >= 0.5).to(torch.uint8))
    return tuple(targets)


def _bin_weights(start: Tensor, end: Tensor, size: int, extent: int) -> Tensor:
    """Return the weight of each pixel in each RoIAlign bin along one axis.

    Coordinates are computed in the box's dtype, as in RoIAlign.

    Args:
        start: first coordinate of the box along the axis, in pixels, a scalar.
        end: last coordinate of the box along the axis, in pixels, a scalar.
        size: number of bins along the axis.
        extent: size of the image along the axis, in pixels.

    Returns:
        Shape (size, extent), float64.
    """
    start, end = start - 0.5, end - 0.5
    bin_size = (end - start) / size
    samples = int(bin_size.ceil())
    weights = torch.zeros(size, extent, dtype=torch.float64)
    for b in range(size):
        for i in range(samples):
            position = start + b * bin_size + (i + 0.5) * bin_size / samples
            position = position.clamp(0, extent - 1)
            low = int(position)
            fraction = float(position - low)
            weights[b, low] += (1 - fraction) / samples
            weights[b, min(low + 1, extent - 1)] += fraction / samples
    return weights


def paste_rle(
    probs: npt.NDArray[Any], boxes: npt.NDArray[Any], height: int, width: int, threshold: float
) -> list[dict[str, Any]]:
    """Paste soft masks and encode them; see :func:`nbseg.ops.paste_rle`.

    The reference pastes one mask at a time with MMDetection, and encodes it with pycocotools.
    """
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
    from pycocotools import mask as mask_utils

    soft = torch.as_tensor(probs)
    if soft.dtype == torch.uint8:
        soft = soft.float() / 255
    corners = torch.as_tensor(boxes, dtype=torch.float32)
    rles = []
    for prob, box in zip(soft[:, None, None], corners[:, None], strict=True):
        bitmap = np.zeros((height, width), np.uint8, order="F")
        x0, y0, x1, y1 = box[0].tolist()
        # MMDetection pastes up to one pixel beyond the box. If the distance between box and image
        # is larger, the pasted mask is empty.
        if floor(x0) - 1 < width and floor(y0) - 1 < height and ceil(x1) > -1 and ceil(y1) > -1:
            pasted, region = _do_paste_mask(prob, box, height, width, skip_empty=True)
            bitmap[region] = (pasted[0] >= threshold).numpy()
        rles.append(mask_utils.encode(bitmap))
    return rles
