"""Collect the labels and mask targets of a batch's positive proposals."""

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import InstanceList
from torch import Tensor

from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks


def proposal_labels(sampling_results: Sequence[SamplingResult]) -> Tensor:
    """Return the class labels of all R positive proposals, image after image, shape (R,), int64."""
    return torch.cat([sampling.pos_gt_labels for sampling in sampling_results])


def proposal_mask_targets(
    sampling_results: Sequence[SamplingResult],
    batch_gt_instances: InstanceList,
    sizes: Sequence[int],
) -> tuple[Tensor, ...]:
    """Return the mask targets of all R positive proposals, image after image.

    Args:
        sampling_results: the sampled proposals of each image.
        batch_gt_instances: the ground-truth instances of each image, with ``masks``. Masks of the
            type ``CroppedMasks`` are fastest, because masks of MMDetection's types are converted
            to ``CroppedMasks`` in each call.
        sizes: side lengths s of the targets.

    Returns:
        One tensor per size s, shape (R, s, s), uint8 of 0 and 1.
    """
    per_image = [
        multires_mask_targets(
            CroppedMasks.from_instance_masks(instances.masks).to(sampling.pos_priors.device),
            sampling.pos_priors,
            sampling.pos_assigned_gt_inds,
            sizes,
        )
        for sampling, instances in zip(sampling_results, batch_gt_instances, strict=True)
    ]
    return tuple(torch.cat(targets) for targets in zip(*per_image, strict=True))
