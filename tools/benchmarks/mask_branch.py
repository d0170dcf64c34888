"""Benchmark the mask branch of a Noisy Boundaries student: targets, head and loss with gradients.

The peer is the same head with the same weights, but its targets are those of MMDetection, and its
loss consists of PyTorch operations.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from benchmarks.bpm_mask_loss import in_pytorch
from benchmarks.case import Case
from benchmarks.detectors import STUDENT_HEAD, STUDENT_LOSS, mask_head_config, scene
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import mask_target
from mmengine.config import ConfigDict
from torch import Tensor

HEIGHT, WIDTH = 1024, 2048
SIZES = (28, 14)


def positives(sample: DetDataSample, proposals: Tensor) -> SamplingResult:
    """Return all proposals as positive, each assigned to the object that it overlaps most."""
    from mmdet.structures.bbox import bbox_overlaps

    truth = sample.gt_instances
    gt_inds = bbox_overlaps(proposals, truth.bboxes).argmax(dim=1)
    result = SamplingResult.__new__(SamplingResult)
    result.pos_priors = proposals
    result.pos_assigned_gt_inds = gt_inds
    result.pos_gt_labels = truth.labels[gt_inds]
    return result


def by_nbseg(head: Any, features: Tensor, sample: DetDataSample, sampling: Any) -> list[Tensor]:
    logits = head(features)
    config = ConfigDict(mask_size=SIZES[0])
    losses = head.loss_and_target(logits, [sampling], [sample.gt_instances], config)["loss_mask"]
    return gradients(list(losses.values()), head)


def by_mmdetection(
    head: Any, features: Tensor, sample: DetDataSample, sampling: Any
) -> list[Tensor]:
    losses = []
    for logits, size in zip(head(features), SIZES, strict=True):
        boxes, gt_inds = [sampling.pos_priors], [sampling.pos_assigned_gt_inds]
        masks = [sample.gt_instances.masks]
        targets = mask_target(boxes, gt_inds, masks, ConfigDict(mask_size=size))
        losses.append(in_pytorch(logits, targets, sampling.pos_gt_labels))
    return gradients(losses, head)


def gradients(losses: list[Tensor], head: Any) -> list[Tensor]:
    grads = torch.autograd.grad(torch.stack(losses).sum(), list(head.parameters()))
    return [torch.stack(losses).detach(), *grads]


def agree(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(
        ((b - a).norm() <= 1e-3 * a.norm()).item() for a, b in zip(ours, theirs, strict=True)
    )


def cases(threads: int, device: str) -> Iterator[Case]:
    torch.manual_seed(0)
    head = MODELS.build(mask_head_config(STUDENT_HEAD, STUDENT_LOSS)).train()
    crops, proposals = scene(HEIGHT, WIDTH, cropped=True)
    bitmaps, _ = scene(HEIGHT, WIDTH, cropped=False)
    features = torch.randn(len(proposals), 256, 14, 14)
    sampling = positives(crops, proposals)
    yield Case(
        name=f"{HEIGHT}x{WIDTH} R {len(proposals)}",
        nbseg=partial(by_nbseg, head, features, crops, sampling),
        peers={"MMDetection": partial(by_mmdetection, head, features, bitmaps, sampling)},
        agree=agree,
        rounds=5,
    )
