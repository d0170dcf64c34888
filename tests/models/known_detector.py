"""A detector of known boxes and masks, and its views by hand."""

from types import SimpleNamespace

import numpy as np
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.models.roi_heads import (
    StandardRoIHead,
)
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

HEIGHT, WIDTH, CELLS = 24, 32, 7

TTA_CFG = {"nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 100}


def ramp(x, y, image):
    """Mask logits at a point of an image; linear, so that RoIAlign gives its value exactly."""
    return 0.35 * x - 0.25 * y - 2 + image


class KnownBoxes(StandardRoIHead):
    """Sees the given boxes; the logits of class 0 are the features and of class 1 their negative.

    ``boxes[img_id]`` are (box, label, score, views), by view which of them see it.
    """

    def __init__(self, boxes):
        super().__init__(test_cfg=ConfigDict(mask_thr_binary=0.5))
        align = {"type": "RoIAlign", "output_size": CELLS, "sampling_ratio": 0}
        self.mask_roi_extractor = SingleRoIExtractor(align, out_channels=1, featmap_strides=[1])
        self.share_roi_extractor = False
        self.mask_head = ClassesOfOpposedLogits()
        self.boxes = boxes

    def predict_bbox(self, x, batch_img_metas, rpn_results_list, rcnn_test_cfg, rescale=False):
        assert rescale
        results = []
        for meta in batch_img_metas:
            seen = [b for b in self.boxes[meta["img_id"]] if meta["view"] in b[3]]
            flipped = meta["flip_direction"] if meta["flip"] else None
            boxes = [flip_by_hand(box, flipped) for box, *_ in seen]
            results.append(
                InstanceData(
                    bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                    labels=torch.tensor([b[1] for b in seen], dtype=torch.int64),
                    scores=torch.tensor([b[2] - 0.01 * meta["view"] for b in seen]),
                )
            )
        return results


class ClassesOfOpposedLogits(nn.Module):
    def forward(self, features):
        return torch.cat([features, -features], dim=1)


class KnownDetector(nn.Module):
    """Its features are the image itself."""

    def __init__(self, boxes):
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor(pad_size_divisor=16)
        self.rpn_head = SimpleNamespace(predict=lambda x, samples, rescale: [None] * len(samples))
        self.roi_head = KnownBoxes(boxes)
        self.extractions = 0

    def extract_feat(self, inputs):
        self.extractions += 1
        return (inputs,)

    def test_step(self, data):
        raise NotImplementedError


def flip_by_hand(box, direction):
    x1, y1, x2, y2 = box
    if direction in ("horizontal", "diagonal"):
        x1, x2 = WIDTH - x2, WIDTH - x1
    if direction in ("vertical", "diagonal"):
        y1, y2 = HEIGHT - y2, HEIGHT - y1
    return [x1, y1, x2, y2]


def make_views(views, images=1):
    """Data of (scale, flip direction or None, added to the logits) views."""
    inputs, samples = [], []
    for view, (scale, direction, added) in enumerate(views):
        inputs.append([])
        samples.append([])
        for image in range(images):
            x = (torch.arange(WIDTH * scale) + 0.5) / scale
            y = (torch.arange(HEIGHT * scale) + 0.5) / scale
            pixels = ramp(x[None], y[:, None], image) + added
            if direction in ("horizontal", "diagonal"):
                pixels = pixels.flip(1)
            if direction in ("vertical", "diagonal"):
                pixels = pixels.flip(0)
            inputs[-1].append(pixels[None])
            samples[-1].append(
                DetDataSample(
                    metainfo={
                        "img_id": image,
                        "view": view,
                        "ori_shape": (HEIGHT, WIDTH),
                        "img_shape": (HEIGHT * scale, WIDTH * scale),
                        "scale_factor": (float(scale), float(scale)),
                        "flip": direction is not None,
                        "flip_direction": direction,
                    }
                )
            )
    return {"inputs": inputs, "data_samples": samples}


def soft_mask_by_hand(box, label, views, image=0):
    x1, y1, x2, y2 = box
    x = x1 + (np.arange(CELLS) + 0.5) * (x2 - x1) / CELLS
    y = y1 + (np.arange(CELLS) + 0.5) * (y2 - y1) / CELLS
    sign = -1 if label else 1
    logits = [sign * (ramp(x[None], y[:, None], image) + added) for _, _, added in views]
    return np.mean([1 / (1 + np.exp(-level)) for level in logits], axis=0)
