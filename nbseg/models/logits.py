"""Provide operations on logits that mask heads and losses share."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a tensor as float32; a float64 tensor is returned unchanged."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def mask_channels(masks: Tensor, labels: Tensor) -> Tensor:
    """Return the index of the mask channel for each RoI's class.

    The index is the label, or 0 if C is 1 (class-agnostic masks).

    Args:
        masks: logits or probabilities of R RoIs and C classes, shape (R, C, S, S).
        labels: class of each RoI, shape (R,), int64.

    Returns:
        Shape (R,), int64 in [0, C).
    """
    return torch.zeros_like(labels) if masks.shape[1] == 1 else labels


def select_masks(masks: Tensor, labels: Tensor) -> Tensor:
    """Return the mask of each RoI's class, shape (R, S, S).

    Args:
        masks: logits or probabilities of R RoIs and C classes, shape (R, C, S, S); C is 1 for
            class-agnostic masks.
        labels: class of each RoI, shape (R,), int64.
    """
    rois = torch.arange(len(labels), device=labels.device)
    return masks[rois, mask_channels(masks, labels)]
