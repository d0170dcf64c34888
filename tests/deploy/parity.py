"""One-to-one matching of an exported model's detections with the original's."""

import numpy as np
import torch
from mmdet.structures.bbox import bbox_overlaps
from pycocotools import mask as coco_mask

# What still counts as the same detection.
BOX_IOU = 0.99
SCORE = 1e-3
MASK_IOU = 0.98
MASK_AREA = 32**2


def count_matches(expected, found, min_score: float = 0.05) -> tuple[int, int]:
    """Return how many detections have a partner, and how many there are; both sides together.

    Args:
        expected: MMDetection's ``InstanceData`` on the CPU, its masks COCO RLE or
            bitmaps.
        found: ``nbseg.deploy.runtime.Detections``.
        min_score: detections below it are left out.
    """
    chosen = expected.scores.numpy() > min_score
    boxes = expected.bboxes.numpy()[chosen]
    scores, labels = expected.scores.numpy()[chosen], expected.labels.numpy()[chosen]
    rles = [_rle(mask) for mask, keep in zip(expected.masks, chosen, strict=True) if keep]
    candidates = found.scores > min_score
    overlaps = bbox_overlaps(_tensor(boxes), _tensor(found.boxes)).numpy()
    overlaps *= labels[:, None] == found.labels
    overlaps *= np.abs(scores[:, None] - found.scores) < SCORE
    overlaps *= candidates
    partners = 0
    for index in range(len(boxes)):
        best = int(overlaps[index].argmax()) if overlaps.shape[1] else 0
        if not overlaps.shape[1] or overlaps[index, best] <= BOX_IOU:
            continue
        small = coco_mask.area(rles[index]) <= MASK_AREA
        if small or coco_mask.iou([rles[index]], [found.rles[best]], [0])[0, 0] > MASK_IOU:
            partners += 1
            overlaps[:, best] = 0
    return 2 * partners, len(boxes) + int(candidates.sum())


def _tensor(boxes: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(boxes, np.float32))


def _rle(mask: dict | torch.Tensor) -> dict:
    if isinstance(mask, dict):
        return mask
    return coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
