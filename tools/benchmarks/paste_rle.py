"""Benchmark paste_rle, which pastes predicted masks into images and encodes them as COCO RLEs.

The peer is MMDetection's code for both steps on the CPU.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.case import Case

from nbseg.ops import paste_rle

INSTANCES, SIDE, THRESHOLD = 100, 28, 0.5


def typical_boxes(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    """Return random boxes inside the image, x0, y0, x1, y1, shape (N, 4), float32.

    The sides of a box are log-uniform, from 5% to 50% of the image's width or height.
    """
    image = np.array([width, height])
    sizes = np.exp(rng.uniform(np.log(0.05), np.log(0.5), (INSTANCES, 2))) * image
    corners = rng.random((INSTANCES, 2)) * (image - sizes)
    return np.asarray(np.hstack([corners, corners + sizes]), np.float32)


def smooth_masks(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return probabilities of round objects, (N, 28, 28) float32.

    As in the predictions of a trained mask head, the edges are about three cells wide.
    """
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    angle = np.arctan2(y, x)
    radius = np.full((INSTANCES, SIDE, SIDE), 0.38 * SIDE)
    for waves in (2, 3, 4):
        size, phase = rng.normal(0, 0.06 * SIDE, (INSTANCES, 1, 1)), rng.random((INSTANCES, 1, 1))
        radius += size * np.cos(waves * angle + 2 * np.pi * phase)
    return np.asarray(1 / (1 + np.exp(1.5 * (np.hypot(x, y) - radius))), np.float32)


def noise_masks(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    return rng.random((INSTANCES, SIDE, SIDE), np.float32)


def mmdetection(probs: torch.Tensor, boxes: torch.Tensor, height: int, width: int) -> list[Any]:
    """Return COCO RLEs that MMDetection's code makes.

    ``FCNMaskHead``'s function for CPUs pastes the masks. Then the function that MMDetection's
    metrics use encodes the masks.
    """
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
    from mmdet.structures.mask import encode_mask_results

    masks = torch.zeros(len(probs), height, width, dtype=torch.bool)
    for chunk in torch.chunk(torch.arange(len(probs)), len(probs)):
        pasted, region = _do_paste_mask(
            probs[chunk, None], boxes[chunk], height, width, skip_empty=True
        )
        window = (chunk, *region)
        masks[window] = pasted >= THRESHOLD
    return list(encode_mask_results(masks.numpy()))


def cases(threads: int, device: str) -> Iterator[Case]:
    for height, width in ((1024, 2048), (128, 128)):
        for kind, masks in (("smooth", smooth_masks), ("noise", noise_masks)):
            rng = np.random.default_rng(0)
            boxes, probs = typical_boxes(rng, height, width), masks(rng)
            for given in (probs, np.round(255 * probs).astype(np.uint8)):
                soft = torch.from_numpy(given)
                if soft.dtype == torch.uint8:
                    soft = soft.float() / 255
                paste = partial(paste_rle, threshold=THRESHOLD, num_threads=threads)
                yield Case(
                    name=f"{height}x{width} {kind} {given.dtype}",
                    nbseg=partial(paste, given, boxes, height, width),
                    peers={
                        "MMDetection": partial(
                            mmdetection, soft, torch.from_numpy(boxes), height, width
                        )
                    },
                )
