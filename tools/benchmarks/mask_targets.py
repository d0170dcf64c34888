"""Benchmark multires_mask_targets, which makes mask targets of two sizes in one call.

MMDetection, the peer, needs a call of ``mask_target`` for each size. The peer gets finished
bitmaps. On a CPU, nbseg makes its cropped masks from run lengths in each call. On a GPU, each call
copies the masks to the GPU, and the peer runs MMDetection's steps with torchvision's roi_align,
because MMCV is seldom built for GPUs.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.case import Case
from benchmarks.scenes import bitmaps_of, boxes_of, outlines, positive_proposals, run_lengths
from torch import Tensor

from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks

SIZES = (28, 14)
SCENES = ((1024, 2048), (800, 1333))  # height and width
INSTANCES = 30
Targets = tuple[Tensor, ...]


def by_nbseg(make_crops: Callable[[], CroppedMasks], boxes: Tensor, gt_inds: Tensor) -> Targets:
    return multires_mask_targets(make_crops(), boxes, gt_inds, sizes=SIZES)


def by_mmdetection(bitmaps: npt.NDArray[np.uint8], boxes: Tensor, gt_inds: Tensor) -> Targets:
    from mmdet.structures.mask import BitmapMasks, mask_target
    from mmengine.config import ConfigDict

    masks = BitmapMasks(bitmaps, *bitmaps.shape[1:])
    configs = [ConfigDict(mask_size=size) for size in SIZES]
    return tuple(mask_target([boxes], [gt_inds], [masks], config) for config in configs)


def by_torchvision(bitmaps: npt.NDArray[np.uint8], boxes: Tensor, gt_inds: Tensor) -> Targets:
    """Run MMDetection's steps: one mask per proposal, RoIAlign, a copy to the CPU and back."""
    from torchvision.ops import roi_align

    targets = []
    for size in SIZES:
        masks = torch.from_numpy(bitmaps).to(boxes.device).index_select(0, gt_inds).float()
        rois = torch.cat([torch.arange(len(boxes), device=boxes.device)[:, None], boxes], dim=1)
        soft = roi_align(masks[:, None], rois, size, aligned=True, sampling_ratio=-1)
        bits = (soft[:, 0] >= 0.5).cpu().numpy()
        targets.append(torch.from_numpy(bits).float().to(boxes.device))
    return tuple(targets)


def agree(ours: Targets, theirs: Targets) -> bool:
    """Return whether fewer than 0.01% of the cells differ.

    In these cells, the value is so close to the threshold 0.5 that rounding errors decide.
    """
    return all((a != b).float().mean().item() < 1e-4 for a, b in zip(ours, theirs, strict=True))


def cases(threads: int, device: str) -> Iterator[Case]:
    name, peer = (
        ("MMDetection", by_mmdetection) if device == "cpu" else ("torchvision", by_torchvision)
    )
    for height, width in SCENES:
        # The paper trains with at most 128 positive RoIs per image.
        for rois in (128,) if device == "cpu" else (128, 512):
            rng = np.random.default_rng(0)
            polygons = outlines(rng, INSTANCES, height, width)
            boxes, gt_inds = positive_proposals(rng, boxes_of(polygons), rois, height, width)
            boxes, gt_inds = boxes.to(device), gt_inds.to(device)
            kernels: Callable[[], Targets] | None = None
            if device == "cpu":
                rles = run_lengths(polygons, height, width)
                make_crops = partial(CroppedMasks.from_segmentations, rles, height, width)
                crops = make_crops()
                bitmaps = crops.to_bitmaps()
            else:
                bitmaps = bitmaps_of(polygons, height, width)
                crops = CroppedMasks.from_bitmaps(bitmaps)
                # In training, the data loader's workers make the crops.
                make_crops = partial(crops.to, device)
                kernels = partial(
                    multires_mask_targets, crops.to(device), boxes, gt_inds, sizes=SIZES
                )
            outputs = sum(rois * size * size for size in SIZES)
            yield Case(
                name=f"{height}x{width} R {rois}",
                nbseg=partial(by_nbseg, make_crops, boxes, gt_inds),
                peers={name: partial(peer, bitmaps, boxes, gt_inds)},
                agree=agree,
                bytes_moved=crops.bits.numel() + outputs,
                kernels=kernels,
            )
