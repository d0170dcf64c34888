"""Define NMS and multi-level RoIAlign as torch ops, with their translation to ONNX operators.

``torch.export`` cannot trace the steps of these ops: the number of boxes that NMS keeps and the
number of RoIs on each pyramid level are known only at run time. Therefore each op is a custom op,
which is traced as a single node with outputs of fixed size. The exporter then uses ``TRANSLATIONS``
to translate the node to standard ONNX operators.
"""

from collections.abc import Callable, Sequence
from typing import Any

import onnxscript
import torch
from mmcv.ops import nms, roi_align
from torch import Tensor

op: Any = onnxscript.opset18  # Any: onnxscript's types do not accept a tracer's tensors


@torch.library.custom_op("nbseg::nms_mask", mutates_args=())
def nms_mask(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
) -> Tensor:
    """Return which boxes greedy non-maximum suppression keeps, image by image.

    Args:
        boxes: (B, N, 4) float32, x0, y0, x1, y1.
        scores: (B, N) float32.
        iou_threshold: a box is dropped if a kept box has a higher score, and the IoU of the two
            boxes exceeds this threshold.
        score_threshold: boxes whose score is not above this threshold are dropped.
        max_output: largest number of boxes kept per image; the boxes with the highest scores are
            kept.

    Returns:
        (B, N) bool: True for a kept box.
    """
    keep = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    for image_boxes, image_scores, image_keep in zip(boxes, scores, keep, strict=True):
        candidates = (image_scores > score_threshold).nonzero()[:, 0]
        _, kept = nms(image_boxes[candidates], image_scores[candidates], iou_threshold)
        image_keep[candidates[kept[:max_output]]] = True
    return keep


@nms_mask.register_fake
def _(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    score_threshold: float,
    max_output: int,
) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


def _nms_mask_to_onnx(
    boxes: Any, scores: Any, iou_threshold: float, score_threshold: float, max_output: int
) -> Any:
    selected = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),
        op.Constant(value_ints=[max_output]),
        op.Constant(value_floats=[iou_threshold]),
        op.Constant(value_floats=[score_threshold]),
    )
    # Each row of ``selected`` holds the indices (image, class, box) of a kept box. The order of the
    # rows depends on the runtime, so convert the rows to a mask, which has a fixed order.
    image_and_box = op.Gather(selected, op.Constant(value_ints=[0, 2]), axis=1)
    zeros = op.Expand(op.Constant(value_float=0.0), op.Shape(scores))
    ones = op.Expand(op.Constant(value_float=1.0), op.Shape(image_and_box, start=0, end=1))
    kept = op.ScatterND(zeros, image_and_box, ones)
    return op.Greater(kept, op.Constant(value_float=0.5))


@torch.library.custom_op("nbseg::multilevel_roi_align", mutates_args=())
def multilevel_roi_align(
    features: Sequence[Tensor],
    rois: Tensor,
    levels: Tensor,
    output_size: Sequence[int],
    spatial_scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Apply RoIAlign with average pooling to each RoI on its level of the feature pyramid.

    Args:
        features: L maps of shape (B, C, H_l, W_l), float32.
        rois: (R, 5) float32: index of the image in the batch, then x0, y0, x1, y1 in pixels.
        levels: (R,) int64; the level of each RoI, from 0 to L - 1.
        output_size: height and width of a RoI's features in bins.
        spatial_scales: L factors; each converts image pixels to cells of one map.
        sampling_ratio: number of samples per bin along each axis; 0 takes about one sample per
            cell.
        aligned: whether to shift the RoIs by half a cell, as MMCV's ``RoIAlign(aligned=True)``
            does.

    Returns:
        (R, C, *output_size) float32.
    """
    height, width = output_size
    pooled = rois.new_zeros(len(rois), features[0].shape[1], height, width)
    for level, (feature, scale) in enumerate(zip(features, spatial_scales, strict=True)):
        chosen = (levels == level).nonzero()[:, 0]
        if len(chosen):
            # MMCV's CPU kernel reads channels_last maps as if they were contiguous.
            pooled[chosen] = roi_align(
                feature.contiguous(),
                rois[chosen],
                (height, width),
                scale,
                sampling_ratio,
                "avg",
                aligned,
            )
    return pooled


@multilevel_roi_align.register_fake
def _(
    features: Sequence[Tensor],
    rois: Tensor,
    levels: Tensor,
    output_size: Sequence[int],
    spatial_scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    return rois.new_empty(rois.shape[0], features[0].shape[1], *output_size)


def _multilevel_roi_align_to_onnx(
    features: Sequence[Any],
    rois: Any,
    levels: Any,
    output_size: Sequence[int],
    spatial_scales: Sequence[float],
    sampling_ratio: int,
    aligned: bool,
) -> Any:
    images = op.Cast(op.Gather(rois, op.Constant(value_int=0), axis=1), to=onnxscript.INT64.dtype)
    boxes = op.Gather(rois, op.Constant(value_ints=[1, 2, 3, 4]), axis=1)
    pooled_by_level, chosen_by_level = [], []
    for level, (feature, scale) in enumerate(zip(features, spatial_scales, strict=True)):
        on_level = op.Equal(levels, op.Constant(value_int=level))
        chosen = op.Squeeze(op.NonZero(on_level), op.Constant(value_ints=[0]))
        chosen_by_level.append(chosen)
        pooled_by_level.append(
            op.RoiAlign(
                feature,
                op.Gather(boxes, chosen, axis=0),
                op.Gather(images, chosen, axis=0),
                coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
                mode="avg",
                output_height=output_size[0],
                output_width=output_size[1],
                sampling_ratio=sampling_ratio,
                spatial_scale=scale,
            )
        )
    # The features are now grouped by level: restore the order of `rois`.
    position = op.Concat(*chosen_by_level, axis=0)
    grouped_index = op.Range(
        op.Constant(value_int=0),
        op.Squeeze(op.Shape(position)),
        op.Constant(value_int=1),
    )
    inverse = op.ScatterElements(position, position, grouped_index)
    return op.Gather(op.Concat(*pooled_by_level, axis=0), inverse, axis=0)


# torch.onnx.export gets this table as custom_translation_table.
TRANSLATIONS: dict[Any, Callable[..., Any]] = {
    torch.ops.nbseg.nms_mask.default: _nms_mask_to_onnx,
    torch.ops.nbseg.multilevel_roi_align.default: _multilevel_roi_align_to_onnx,
}
