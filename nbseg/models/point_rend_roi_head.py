"""Let PointRend (Kirillov et al., CVPR 2020) train on ``CroppedMasks`` and predict COCO RLEs.

``CroppedMasks`` stores each instance mask only inside its bounding box.
"""

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import point_sample
from mmcv.ops.point_sample import rel_roi_point_to_abs_img_point
from mmdet.models.roi_heads import PointRendRoIHead
from mmdet.models.roi_heads.mask_heads import CoarseMaskHead, MaskPointHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from nbseg.models.logits import mask_channels, select_masks
from nbseg.models.rle_mask_head import RLEMaskHead
from nbseg.models.soft_mask_roi_head import SoftMaskRoIHead
from nbseg.registry import MODELS
from nbseg.structures import CroppedMasks


@MODELS.register_module()
class RLECoarseMaskHead(RLEMaskHead, CoarseMaskHead):
    """Extends MMDetection's ``CoarseMaskHead``: predictions can be COCO RLEs instead of bitmaps.

    The mask targets are computed without a full-size mask for each proposal, as in ``RLEMaskHead``.
    """


@MODELS.register_module()
class CroppedMaskPointHead(MaskPointHead):
    """Computes the same targets as ``MaskPointHead``, but without a full-size mask per proposal."""

    def _get_targets_single(
        self,
        rois: Tensor,
        rel_roi_points: Tensor,
        pos_assigned_gt_inds: Tensor,
        gt_instances: InstanceData,
        cfg: ConfigType,
    ) -> Tensor:
        masks = CroppedMasks.from_instance_masks(gt_instances.masks)
        bitmaps = torch.from_numpy(masks.to_bitmaps()).to(rois.device)
        points = rel_roi_point_to_abs_img_point(rois, rel_roi_points)
        return sample_masks(bitmaps, pos_assigned_gt_inds, points)


@MODELS.register_module()
class RLEPointRendRoIHead(SoftMaskRoIHead, PointRendRoIHead):
    """Extends MMDetection's ``PointRendRoIHead`` by soft masks for given boxes.

    A soft mask is a grid of probabilities. ``MaskTTAModel``, nbseg's test-time augmentation, needs
    the soft masks.

    Losses and predictions equal those of ``PointRendRoIHead``, with one exception: if a batch has
    no positive proposals, ``loss_point`` is 0 here and is missing in MMDetection. Prediction
    refines only the mask of each box's class. MMDetection refines the masks of all classes.
    """

    def _mask_point_loss(
        self,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        mask_preds: Tensor,
        batch_gt_instances: list[InstanceData],
    ) -> dict[str, Any]:
        if len(mask_preds) == 0:
            # The loss is 0, but it depends on all parameters of the point head. In distributed
            # training, every process then has gradients for the same parameters.
            return dict(loss_point=0 * sum(p.sum() for p in self.point_head.parameters()))
        losses: dict[str, Any] = super()._mask_point_loss(
            x, sampling_results, mask_preds, batch_gt_instances
        )
        return losses

    def predict_soft_masks(self, x: tuple[Tensor, ...], rois: Tensor, labels: Tensor) -> Tensor:
        coarse: Tensor = self._mask_forward(x, rois)["mask_preds"]
        steps, factor = self.test_cfg.subdivision_steps, self.test_cfg.scale_factor
        if len(rois) == 0:
            size = coarse.shape[-1] * factor**steps
            return coarse.new_zeros(0, size, size)
        refined = select_masks(coarse, labels)[:, None]
        for step in range(steps):
            refined = F.interpolate(
                refined, scale_factor=factor, mode="bilinear", align_corners=False
            )
            cells = refined.shape[-1] * refined.shape[-2]
            # Like MMDetection, skip the point head in this step if the next step recomputes all
            # cells.
            if self.test_cfg.subdivision_num_points >= factor**2 * cells and step < steps - 1:
                continue
            indices, points = self.point_head.get_roi_rel_points_test(
                refined, mask_channels(coarse, labels), cfg=self.test_cfg
            )
            logits = self.point_head(
                self._get_fine_grained_point_feats(x, rois, points),
                point_sample(coarse, points),
            )
            chosen = select_masks(logits, labels).to(refined)
            refined = refined.flatten(1).scatter(1, indices, chosen).view_as(refined)
        return refined[:, 0].sigmoid()


def sample_masks(bitmaps: Tensor, mask_inds: Tensor, points: Tensor) -> Tensor:
    """Return the values of masks at points, interpolated bilinearly between pixel centers.

    Pixels outside the image are background.

    Args:
        bitmaps: full-size masks, shape (G, H, W), uint8 of 0 and 1.
        mask_inds: index in ``bitmaps`` of the mask of each RoI, shape (R,), int64 in [0, G).
        points: P points (x, y) for each of R RoIs, in image pixels, shape (R, P, 2). Pixel (0, 0)
            covers the square [0, 1] x [0, 1].

    Returns:
        Values in [0, 1], shape (R, P), with the dtype of ``points``.
    """
    height, width = bitmaps.shape[1:]
    corner = (points - 0.5).floor()
    fraction = points - 0.5 - corner
    values = points.new_zeros(points.shape[:2])
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = (corner + corner.new_tensor([dx, dy])).long().unbind(-1)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            found = bitmaps[
                mask_inds[:, None], row.clamp(0, height - 1), column.clamp(0, width - 1)
            ]
            weight = (1 - dx - fraction[..., 0]).abs() * (1 - dy - fraction[..., 1]).abs()
            values += weight * (found * inside)
    return values
