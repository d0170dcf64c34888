"""Define a mask head that trains on masks cropped to their boxes, and can predict COCO RLEs."""

from typing import Any

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor

from nbseg.models.logits import mask_channels, select_masks
from nbseg.models.proposal_targets import proposal_mask_targets
from nbseg.ops import paste_rle
from nbseg.registry import MODELS


@MODELS.register_module()
class RLEMaskHead(FCNMaskHead):
    """Extends ``FCNMaskHead``: predictions can be COCO RLEs instead of bitmaps.

    ``test_cfg.rcnn.mask_format`` chooses the format of predicted masks:

    - ``"bitmap"``, the default: MMDetection's boolean tensor of full-size masks (N, H, W);
    - ``"rle"``: a list of N compressed COCO RLEs.

    ``CocoMetric`` and ``InstanceMetric`` read both formats. MMDetection's other metrics, its
    inferencer and its visualizer need bitmaps.

    Each RLE is computed inside the mask's box, so no full-size bitmap is made. The RLE is the same
    as the RLE of the bitmap that MMDetection pastes on a CPU.

    In training, the targets equal those of ``FCNMaskHead``. The targets are computed from
    ``CroppedMasks`` (instance masks that are stored only inside their bounding boxes) on the device
    of the proposals. No full-size mask is made for a proposal.

    Raises:
        ValueError: in prediction, if ``mask_format`` is neither ``"bitmap"`` nor ``"rle"``.
    """

    def get_targets(
        self,
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> Tensor:
        """Return the targets of the R positive proposals of all images, (R, s, s), float32.

        Args:
            sampling_results: the sampled proposals of each image.
            batch_gt_instances: the ground-truth instances of each image, with ``masks``.
            rcnn_train_cfg: the ``train_cfg`` of the RoI head; the entry ``mask_size`` is s.
        """
        size = rcnn_train_cfg["mask_size"]
        if rcnn_train_cfg.get("soft_mask_target", False) or not isinstance(size, int):
            soft: Tensor = super().get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
            return soft
        (targets,) = proposal_mask_targets(sampling_results, batch_gt_instances, sizes=(size,))
        return targets.float()

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        labels: Tensor,
        img_meta: dict[str, Any],
        rcnn_test_cfg: ConfigType,
        rescale: bool = False,
        activate_map: bool = False,
    ) -> Tensor | list[dict[str, Any]]:
        mask_format = rcnn_test_cfg.get("mask_format", "bitmap")
        if mask_format == "bitmap":
            # If SoftMaskRoIHead calls this method, there is only one channel, for the box's class.
            channels = mask_channels(mask_preds, labels)
            bitmaps: Tensor = super()._predict_by_feat_single(
                mask_preds, bboxes, channels, img_meta, rcnn_test_cfg, rescale, activate_map
            )
            return bitmaps
        if mask_format != "rle":
            raise ValueError(
                f'test_cfg.rcnn.mask_format must be "bitmap" or "rle", found {mask_format!r}'
            )
        height, width = img_meta["ori_shape"][:2]
        scale = bboxes.new_tensor(img_meta["scale_factor"])
        if rescale:
            # Like MMDetection, scale the caller's boxes to the image in place.
            bboxes /= scale.repeat(2)
        else:
            scale_x, scale_y = scale.tolist()
            height, width = round(height * scale_y), round(width * scale_x)
        soft_masks = select_masks(mask_preds, labels)
        # activate_map means that the caller has already applied the sigmoid. MMDetection's cascade
        # and SoftMaskRoIHead do so.
        soft_masks = soft_masks if activate_map else soft_masks.sigmoid()
        return paste_rle(
            soft_masks.detach().float().cpu().numpy(),
            bboxes.detach().float().cpu().numpy(),
            height,
            width,
            rcnn_test_cfg.mask_thr_binary,
        )
