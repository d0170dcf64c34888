"""The boundary-preserving mask head of BMask R-CNN (Cheng et al., ECCV 2020, section 3).

    mask features (R, K, 14, 14) ─── 4 convs ────┬─────────────── + ── conv ── deconv ─► masks
                                             1x1 │ M2B        1x1 │ B2M
    boundary features (R, K, 28, 28) ─ conv /2 ─ + ── 2 convs ────┴─────────── deconv ─► boundaries

R RoIs, K feature channels; both outputs (R, C, 28, 28), C classes or 1 if class-agnostic.
"""

import torch
from mmcv.cnn import ConvModule
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor, nn

from nbseg.models.boundary_loss import boundary_targets
from nbseg.models.mask_targets import batch_mask_targets
from nbseg.models.rle_mask_head import RLEMaskHead
from nbseg.registry import MODELS


@MODELS.register_module()
class MaskAndBoundaryRoIExtractor(SingleRoIExtractor):
    """Pools mask features from each RoI's pyramid level and boundary features from the finest.

    Args:
        boundary_size: side of the boundary features.
        **kwargs: of ``SingleRoIExtractor``, for the mask features.
    """

    def __init__(self, boundary_size: int = 28, **kwargs) -> None:
        super().__init__(**kwargs)
        layer = {**kwargs["roi_layer"], "output_size": boundary_size}
        (self.boundary_layer,) = self.build_roi_layers(layer, self.featmap_strides[:1])

    def forward(
        self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mask features (R, K, s, s) and boundary features (R, K, b, b)."""
        mask_features = super().forward(feats, rois, roi_scale_factor)
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        return mask_features, self.boundary_layer(feats[0], rois.type_as(feats[0]))


@MODELS.register_module()
class BoundaryMaskHead(RLEMaskHead):
    """Mask head beside a boundary head; each receives the other's features.

    For ``StandardRoIHead`` and ``CascadeRoIHead`` with a ``MaskAndBoundaryRoIExtractor``. In
    training ``forward`` returns mask and boundary logits and the loss has the entries
    ``loss_mask`` and ``loss_boundary``; at test time it returns the mask logits alone.

    Boundaries are predicted per class if masks are.

    Args:
        num_convs: convolutions of the mask features before they meet the boundary's.
        loss_boundary: on the logits (R, S, S) of the RoIs' classes and boundary targets (R, S, S).
        **kwargs: of ``RLEMaskHead``. The upsampling is always a stride-2 deconvolution.
    """

    def __init__(
        self, num_convs: int = 4, loss_boundary: ConfigType | None = None, **kwargs
    ) -> None:
        if num_convs < 1:
            raise ValueError(f"BoundaryMaskHead: num_convs must be positive, found {num_convs}")
        super().__init__(num_convs=num_convs, **kwargs)
        if self.upsample_method != "deconv" or self.scale_factor != 2:
            raise ValueError(
                "BoundaryMaskHead: upsample_cfg must be dict(type='deconv', scale_factor=2), "
                f"found type {self.upsample_method!r} and scale_factor {self.scale_factor}"
            )
        channels = self.conv_out_channels

        def conv(in_channels: int, size: int, stride: int = 1, **options) -> ConvModule:
            return ConvModule(
                in_channels,
                channels,
                size,
                stride=stride,
                padding=size // 2,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
                **options,
            )

        self.boundary_downsample = conv(self.in_channels, 3, stride=2)
        self.mask_to_boundary = conv(channels, 1)
        self.boundary_convs = nn.Sequential(conv(channels, 3), conv(channels, 3))
        self.boundary_to_mask = conv(channels, 1)
        self.final_conv = conv(channels, 3)
        self.boundary_upsample = nn.ConvTranspose2d(channels, channels, 2, 2)
        self.boundary_logits = nn.Conv2d(channels, self.conv_logits.out_channels, 1)
        self.loss_boundary = MODELS.build(loss_boundary or {"type": "BoundaryLoss"})

    def init_weights(self) -> None:
        """Initialize the boundary predictor as ``FCNMaskHead`` does the mask predictor."""
        super().init_weights()
        for layer in (self.boundary_upsample, self.boundary_logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Return mask logits (R, C, 2s, 2s); in training a tuple of them and boundary logits.

        Args:
            x: mask features (R, K, s, s) and boundary features (R, K, 2s, 2s).
        """
        mask, boundary = x
        for mask_conv in self.convs:
            mask = mask_conv(mask)
        boundary = self.boundary_downsample(boundary) + self.mask_to_boundary(mask)
        boundary = self.boundary_convs(boundary)
        mask = self.final_conv(mask + self.boundary_to_mask(boundary))
        masks = self.conv_logits(self.relu(self.upsample(mask)))
        if not self.training:
            return masks
        return masks, self.boundary_logits(self.relu(self.boundary_upsample(boundary)))

    def loss_and_target(
        self,
        mask_preds: tuple[Tensor, Tensor],
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> dict:
        """Return ``dict(loss_mask=dict(loss_mask, loss_boundary), mask_targets)``.

        Arguments as in ``FCNMaskHead.loss_and_target``, ``mask_preds`` being the training output of
        ``forward``. The targets have the size of the logits; ``mask_size`` is not read.
        """
        masks, boundaries = mask_preds
        (targets,) = batch_mask_targets(
            sampling_results, batch_gt_instances, sizes=masks.shape[-1:]
        )
        labels = torch.cat([sampling.pos_gt_labels for sampling in sampling_results])
        if self.class_agnostic:
            labels = torch.zeros_like(labels)
        if len(labels) == 0:
            losses = dict(loss_mask=masks.sum(), loss_boundary=boundaries.sum())
        else:
            of_class = boundaries[torch.arange(len(labels), device=labels.device), labels]
            losses = dict(
                loss_mask=self.loss_mask(masks, targets.float(), labels),
                loss_boundary=self.loss_boundary(of_class, boundary_targets(targets)),
            )
        return dict(loss_mask=losses, mask_targets=targets)
