"""Define the semantic branch and RoI head of RefineMask (Zhang et al., CVPR 2021, section 3)."""

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.ops import RoIAlign
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import ConfigType, InstanceList
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from nbseg.models.proposal_targets import proposal_labels
from nbseg.models.refine_mask_head import FUSIONS
from nbseg.models.soft_mask_roi_head import SoftMaskRoIHead
from nbseg.registry import MODELS
from nbseg.structures import CroppedMasks


@MODELS.register_module()
class ForegroundHead(BaseModule):
    """Segments the union of all instances, from the finest pyramid level's features.

    Args:
        num_convs: number of 3x3 convolutions.
        in_channels: channels of the pyramid level.
        conv_out_channels: channels of the semantic features, the result of the convolutions.
        loss_weight: factor on the cross-entropy.
        init_cfg: MMEngine's config of the initial weights.
    """

    def __init__(
        self,
        num_convs: int = 4,
        in_channels: int = 256,
        conv_out_channels: int = 256,
        loss_weight: float = 1.0,
        init_cfg: ConfigType | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        channels = [in_channels] + [conv_out_channels] * num_convs
        self.convs = nn.Sequential(
            *(
                ConvModule(before, after, 3, padding=1)
                for before, after in zip(channels, channels[1:], strict=False)
            )
        )
        self.logits = nn.Conv2d(channels[-1], 1, 1)
        self.loss_weight = loss_weight

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return semantic features (B, conv_out_channels, h, w) and mask logits (B, 1, h, w).

        Args:
            x: finest pyramid level, shape (B, in_channels, h, w).
        """
        features = self.convs(x)
        return features, self.logits(features)

    def loss(self, logits: Tensor, batch_gt_instances: InstanceList) -> Tensor:
        """Return ``loss_weight`` times the mean binary cross-entropy of the mask logits, a scalar.

        A cell of the target is foreground if instances cover at least half of the cell.
        Pseudo-labeled instances count as much as labeled instances.

        Args:
            logits: mask logits from ``forward``, shape (B, 1, h, w).
            batch_gt_instances: the ground-truth instances of each image, with ``masks`` of the size
                of the network's input.
        """
        height, width = logits.shape[-2:]
        covered = [
            F.adaptive_avg_pool2d(self._union(instances, logits.device)[None], (height, width))
            for instances in batch_gt_instances
        ]
        target = (torch.stack(covered) >= 0.5).float()
        return self.loss_weight * F.binary_cross_entropy_with_logits(logits.float(), target)

    @staticmethod
    def _union(instances: InstanceData, device: torch.device) -> Tensor:
        masks = CroppedMasks.from_instance_masks(instances.masks)
        return torch.from_numpy(masks.union()).to(device).float()


@MODELS.register_module()
class RefineMaskRoIHead(SoftMaskRoIHead):
    """Predicts masks with a ``RefineMaskHead``, which reads the results of a ``ForegroundHead``.

    The ``ForegroundHead`` predicts one mask of all instances together, and features (the semantic
    features) for this mask.

    Args:
        semantic_head: config of a ``ForegroundHead``.
        **kwargs: options of ``StandardRoIHead``; ``mask_roi_extractor`` is required.

    Raises:
        ValueError: ``mask_roi_extractor`` is missing.
    """

    def __init__(self, semantic_head: ConfigType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.semantic_head = MODELS.build(semantic_head)
        if self.share_roi_extractor:
            raise ValueError(
                "RefineMaskRoIHead needs a mask_roi_extractor, found none; set "
                "mask_roi_extractor in the config of the RoI head"
            )
        (size, _) = self.mask_roi_extractor.roi_layers[0].output_size
        scale = 1 / self.mask_roi_extractor.featmap_strides[0]
        self.semantic_layers = nn.ModuleList(
            RoIAlign(size * 2**fusion, spatial_scale=scale, sampling_ratio=0)
            for fusion in range(FUSIONS)
        )

    def mask_loss(
        self,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        bbox_feats: Tensor,
        batch_gt_instances: InstanceList,
    ) -> dict[str, Any]:
        """Return a dict with the key ``loss_mask``.

        The value is a dict that holds the mask head's losses and ``loss_semantic``, the loss of the
        ``ForegroundHead``. The arguments are those of ``StandardRoIHead.mask_loss``.
        """
        rois = bbox2roi([sampling.pos_priors for sampling in sampling_results])
        labels = proposal_labels(sampling_results)
        semantic = self.semantic_head(x[0])
        results = self.mask_head.loss_and_target(
            mask_preds=self._stages(x, semantic, rois, labels),
            sampling_results=sampling_results,
            batch_gt_instances=batch_gt_instances,
            rcnn_train_cfg=self.train_cfg,
        )
        loss_semantic = self.semantic_head.loss(semantic[1], batch_gt_instances)
        return dict(loss_mask=dict(results["loss_mask"], loss_semantic=loss_semantic))

    def predict_soft_masks(self, x: tuple[Tensor, ...], rois: Tensor, labels: Tensor) -> Tensor:
        stages = self._stages(x, self.semantic_head(x[0]), rois, labels)
        soft_masks: Tensor = self.mask_head.soft_masks(stages, labels)
        return soft_masks

    def _stages(
        self, x: tuple[Tensor, ...], semantic: tuple[Tensor, Tensor], rois: Tensor, labels: Tensor
    ) -> list[Tensor]:
        """Return the logits of each stage of the mask head, from coarse to fine.

        Args:
            x: feature maps of the batch.
            semantic: semantic features and mask logits from ``ForegroundHead.forward``.
            rois: image index and box of each RoI, (i, x0, y0, x1, y1), shape (R, 5).
            labels: class of each RoI, shape (R,), int64.
        """
        features, logits = semantic
        # RoIAlign needs features and boxes of one dtype; half precision is too coarse for boxes.
        maps = torch.cat([features, logits.sigmoid()], dim=1).float()
        pooled = [layer(maps, rois) for layer in self.semantic_layers]
        instance = self.mask_roi_extractor(x[: self.mask_roi_extractor.num_inputs], rois)
        stages: list[Tensor] = self.mask_head(instance, pooled, labels)
        return stages
