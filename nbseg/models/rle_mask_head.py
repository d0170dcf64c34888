"""A plain mask head, with masks as crops on their way in and run lengths on their way out."""

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor

from nbseg.models.mask_targets import batch_mask_targets
from nbseg.ops import paste_rle
from nbseg.registry import MODELS


@MODELS.register_module()
class RLEMaskHead(FCNMaskHead):
    """``FCNMaskHead`` that predicts COCO run lengths where the test config asks for them.

    ``test_cfg.rcnn.mask_format`` is ``"bitmap"``, MMDetection's boolean tensors of the image's size
    (N, H, W), the default, or ``"rle"``, a list of N compressed COCO RLE, which ``CocoMetric`` and
    ``InstanceMetric`` take as well. Run lengths are made from each mask's box, so evaluation never
    holds a mask of the image's size; they are those of the bitmaps that MMDetection pastes on a
    CPU. MMDetection's other metrics, its inferencer and its visualizer want bitmaps.

    In training the targets are ``FCNMaskHead``'s, but they stay on the proposals' device and come
    from the crops of ``CroppedMasks`` instead of one full-size mask a proposal.

    Raises:
        ValueError: in prediction, ``mask_format`` is unknown.
    """

    def get_targets(
        self,
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> Tensor:
        """Return the targets of all images' R positive proposals, shape (R, s, s), float32.

        Args:
            sampling_results: one per image.
            batch_gt_instances: one per image, with ``masks``.
            rcnn_train_cfg: its ``mask_size`` is s.
        """
        size = rcnn_train_cfg["mask_size"]
        if rcnn_train_cfg.get("soft_mask_target", False) or not isinstance(size, int):
            return super().get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        (targets,) = batch_mask_targets(sampling_results, batch_gt_instances, sizes=(size,))
        return targets.float()

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: dict,
        rcnn_test_cfg: ConfigType,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> Tensor | list[dict]:
        if mask_preds.shape[1] == 1:
            # Of a class-agnostic head, or chosen by class already (SoftMaskRoIHead).
            labels = torch.zeros_like(labels)
        mask_format = rcnn_test_cfg.get("mask_format", "bitmap")
        if mask_format == "bitmap":
            return super()._predict_by_feat_single(
                mask_preds, bboxes, labels, img_meta, rcnn_test_cfg, rescale, activate_map
            )
        if mask_format != "rle":
            raise ValueError(
                f'test_cfg.rcnn.mask_format must be "bitmap" or "rle", found {mask_format!r}'
            )
        height, width = img_meta["ori_shape"][:2]
        scale = bboxes.new_tensor(img_meta["scale_factor"])
        if rescale:
            # In place, as MMDetection does: the caller's boxes become the image's.
            bboxes /= scale.repeat(2)
        else:
            scale_x, scale_y = scale.tolist()
            height, width = round(height * scale_y), round(width * scale_x)
        soft_masks = mask_preds[range(len(labels)), labels]
        # MMDetection has already applied the sigmoid where it merged the stages of a cascade.
        soft_masks = soft_masks if activate_map else soft_masks.sigmoid()
        return paste_rle(
            soft_masks.detach().float().cpu().numpy(),
            bboxes.detach().float().cpu().numpy(),
            height,
            width,
            rcnn_test_cfg.mask_thr_binary,
        )
