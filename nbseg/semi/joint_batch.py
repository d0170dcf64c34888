"""Compute the losses of labeled and other images from one pass through backbone and neck."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import SampleList
from torch import Tensor


def extract_jointly(detector: Any, batches: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Return the feature maps of each batch.

    Backbone and neck process all batches as one batch, so that batch normalization sees all images
    together, for example the labeled and the unlabeled images.

    Args:
        detector: the detector.
        batches: images, (N, 3, H, W) each. Sizes may differ; smaller images are padded with 0 below
            and to the right.

    Returns:
        One tuple per batch, with one feature map (N, C, h, w) per level of the neck.
    """
    height, width = (max(batch.shape[dim] for batch in batches) for dim in (-2, -1))
    padded = [F.pad(b, (0, width - b.shape[-1], 0, height - b.shape[-2])) for b in batches]
    levels = detector.extract_feat(torch.cat(padded))
    parts = zip(*(level.split([len(b) for b in batches]) for level in levels), strict=True)
    return list(parts)


def losses_from(
    detector: Any, features: tuple[Tensor, ...], inputs: Tensor, samples: SampleList
) -> dict[str, Any]:
    """Return a dict of a detector's losses by name, without running its backbone and neck.

    Args:
        detector: the detector, which has the method ``loss``.
        features: feature maps of the images, one per level, from ``extract_jointly``.
        inputs: images, (N, 3, H, W).
        samples: the sample of each image.
    """
    detector.extract_feat = lambda inputs: features
    try:
        return dict(detector.loss(inputs, samples))
    finally:
        del detector.extract_feat
