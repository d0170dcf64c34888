"""Define the boundary-preserving mask head of BMask R-CNN (Cheng et al., ECCV 2020, section 3).

    mask features (R, K, 14, 14) ─── 4 convs ────┬─────────────── + ── conv ── deconv ─► masks
                                             1x1 │ M2B        1x1 │ B2M
    boundary features (R, K, 28, 28) ─ conv /2 ─ + ── 2 convs ────┴─────────── deconv ─► boundaries

There are R RoIs and K feature channels. Both outputs have shape (R, C, 28, 28). C is the number of
classes, or 1 for class-agnostic masks. The convolution ``/2`` has stride 2. ``M2B`` carries mask
features to the boundary branch, and ``B2M`` carries boundary features to the mask branch.
"""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.utils import ConfigType
from mmengine.model import kaiming_init
from torch import Tensor, nn

from nbseg.models.boundary_loss import boundary_targets
from nbseg.models.logits import select_masks
from nbseg.models.multi_mask_head import MultiMaskHead
from nbseg.registry import MODELS


@MODELS.register_module()
class MaskAndBoundaryRoIExtractor(SingleRoIExtractor):
    """Pools mask features at each RoI's pyramid level, and boundary features at the finest level.

    Args:
        boundary_size: side length b of the boundary features. For ``BoundaryMaskHead`` it must be
            twice the side length of the mask features.
        **kwargs: options of ``SingleRoIExtractor``. The boundary features use the same
            ``roi_layer``, but with the output size ``boundary_size``.
    """

    def __init__(self, boundary_size: int = 28, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        layer = {**kwargs["roi_layer"], "output_size": boundary_size}
        (self.boundary_layer,) = self.build_roi_layers(layer, self.featmap_strides[:1])

    def forward(
        self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mask features (R, K, s, s) and boundary features (R, K, b, b).

        There are R RoIs and K channels. The side length s is the output size of ``roi_layer``, and
        b is ``boundary_size``. The arguments are those of ``SingleRoIExtractor.forward``. ``feats``
        begins with the finest pyramid level.
        """
        mask_features = super().forward(feats, rois, roi_scale_factor)
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        return mask_features, self.boundary_layer(feats[0], rois.type_as(feats[0]))


@MODELS.register_module()
class BoundaryMaskHead(MultiMaskHead):
    """Predicts masks and boundaries in two branches that exchange features.

    The RoI head must be a ``StandardRoIHead`` or ``CascadeRoIHead`` whose ``mask_roi_extractor`` is
    a ``MaskAndBoundaryRoIExtractor``.

    In training, ``forward`` returns mask and boundary logits, and the loss has the entries
    ``loss_mask`` and ``loss_boundary``. At test time, ``forward`` returns only the mask logits.

    If the masks are class-agnostic, the boundaries are class-agnostic, too.

    Args:
        num_convs: number of convolutions on the mask features before the boundary branch reads
            these features.
        loss_boundary: config of the boundary loss; None means ``BoundaryLoss``. For R RoIs, the
            loss receives the boundary logits of each RoI's class, shape (R, S, S), and the boundary
            targets, shape (R, S, S).
        **kwargs: options of MMDetection's ``FCNMaskHead``.

    Raises:
        ValueError: ``num_convs`` is not positive, or ``upsample_cfg`` is not
            ``dict(type="deconv", scale_factor=2)``.
    """

    def __init__(
        self, num_convs: int = 4, loss_boundary: ConfigType | None = None, **kwargs: Any
    ) -> None:
        if num_convs < 1:
            raise ValueError(f"BoundaryMaskHead: num_convs must be positive, found {num_convs}")
        super().__init__(num_convs=num_convs, **kwargs)
        self._require_doubling_deconvolution()
        channels = self.conv_out_channels

        def conv(in_channels: int, size: int, stride: int = 1) -> ConvModule:
            return ConvModule(
                in_channels,
                channels,
                size,
                stride=stride,
                padding=size // 2,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
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
        """Initialize the layers of both branches as ``FCNMaskHead`` initializes its layers."""
        super().init_weights()
        for layer in (self.boundary_upsample, self.boundary_logits):
            kaiming_init(layer)

    def forward(self, x: tuple[Tensor, Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Return mask logits; in training, the pair (mask logits, boundary logits).

        All logits have the shape (R, C, 2s, 2s), for R RoIs and C classes. C is 1 for
        class-agnostic masks.

        Args:
            x: mask features (R, K, s, s) and boundary features (R, K, 2s, 2s), with K channels.
        """
        mask, boundary = x
        for mask_conv in self.convs:
            mask = mask_conv(mask)
        boundary = self.boundary_downsample(boundary) + self.mask_to_boundary(mask)
        boundary = self.boundary_convs(boundary)
        mask = self.final_conv(mask + self.boundary_to_mask(boundary))
        masks: Tensor = self.conv_logits(self.relu(self.upsample(mask)))
        if not self.training:
            return masks
        return masks, self.boundary_logits(self.relu(self.boundary_upsample(boundary)))

    def target_sizes(
        self, mask_preds: Sequence[Tensor], rcnn_train_cfg: ConfigType
    ) -> tuple[int, ...]:
        """Return a tuple with one target size: the side length of the mask and boundary logits."""
        return super().target_sizes(mask_preds[:1], rcnn_train_cfg)

    def losses(
        self, mask_preds: Sequence[Tensor], targets: tuple[Tensor, ...], labels: Tensor
    ) -> dict[str, Tensor]:
        """Return a dict with the losses ``loss_mask`` and ``loss_boundary``.

        Args:
            mask_preds: mask logits and boundary logits, as ``forward`` returns them in training.
            targets: one tensor with the mask targets, shape (R, S, S), uint8 of 0 and 1. The
                boundary targets are computed from the mask targets.
            labels: class of each RoI, shape (R,), int64.
        """
        masks, boundaries = mask_preds
        (target,) = targets
        loss_boundary = (
            self.loss_boundary(select_masks(boundaries, labels), boundary_targets(target))
            if len(labels)
            else boundaries.sum()
        )
        return dict(loss_mask=self.loss_of(masks, target, labels), loss_boundary=loss_boundary)
