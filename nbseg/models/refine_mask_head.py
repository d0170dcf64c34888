"""Define the multi-stage mask head of RefineMask (Zhang et al., CVPR 2021, section 3).

    RoI features (R, K, 14, 14) ─ convs ─┬─► fusion ─┬─► fusion ─┬─► fusion ─┐
                                         ▼           ▼           ▼           ▼
                                     logits 14   logits 28   logits 56   logits 112

Each fusion also reads the RoI's semantic features, the semantic mask and the previous stage's mask.
Logits have shape (R, C, s, s). There are R RoIs, K channels and C classes (1 if class-agnostic).
The first two stages predict whole masks. The later stages are trained and used only near the
boundary of the previous stage's mask (boundary-aware refinement).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import normal_init
from torch import Tensor, nn

from nbseg.models.logits import at_least_float32, select_masks
from nbseg.models.multi_mask_head import MultiMaskHead
from nbseg.registry import MODELS

FUSIONS = 3
DILATIONS = (1, 3, 5)
WHOLE_STAGES = 2  # stages that predict whole masks


class SemanticFusion(nn.Module):
    """Fuses instance features, semantic features and two masks, then doubles the size.

    The two masks are those of the instance and of the semantic branch. The module applies a 1x1
    convolution, sums parallel 3x3 convolutions with the dilations 1, 3 and 5, applies another 1x1
    convolution and appends the two masks to the result.

    Args:
        in_channels: channels of the instance features.
        semantic_channels: channels of the semantic features.
        out_channels: channels of the result, including the two masks.
    """

    def __init__(self, in_channels: int, semantic_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = ConvModule(in_channels + semantic_channels + 2, in_channels, 1)
        self.branches = nn.ModuleList(
            ConvModule(in_channels, in_channels, 3, padding=dilation, dilation=dilation)
            for dilation in DILATIONS
        )
        self.merge = ConvModule(in_channels, out_channels - 2, 1)

    def forward(self, instance: Tensor, semantic: Tensor, masks: Tensor) -> Tensor:
        """Return features (R, out_channels, 2s, 2s).

        Args:
            instance: shape (R, in_channels, s, s).
            semantic: shape (R, semantic_channels, s, s).
            masks: probabilities of the instance's and the semantic mask, shape (R, 2, s, s).
        """
        masks = masks.to(instance)
        fused = self.reduce(torch.cat([instance, semantic.to(instance), masks], dim=1))
        fused = self.merge(sum(branch(fused) for branch in self.branches))
        fused = torch.cat([fused, masks.to(fused)], dim=1)
        return F.interpolate(fused, scale_factor=2, mode="bilinear", align_corners=False)


@MODELS.register_module()
class RefineMaskHead(MultiMaskHead):
    """Predicts masks in four stages, for ``RefineMaskRoIHead``.

    Each stage has half the channels of the previous one. The loss has one entry per stage, named by
    the size of its logits: ``loss_mask_14`` to ``loss_mask_112`` for RoI features of 14 x 14.

    Args:
        num_convs: number of convolutions before the first stage.
        semantic_channels: channels of the semantic features.
        stage_weights: factor on the loss of each stage.
        boundary_width: half the width of the boundary region in training. The region surrounds the
            boundary in the previous, coarser stage; the unit is a pixel of that stage.
        test_boundary_width: half the width of the boundary region in prediction, in the same unit.
        **kwargs: options of ``RLEMaskHead`` except ``upsample_cfg``. ``loss_mask`` is the loss of
            the first two stages. The later stages always use the cross-entropy.

    Raises:
        ValueError: ``num_convs`` is not positive, ``conv_out_channels`` is less than 24, or there
            are not four ``stage_weights``.
    """

    def __init__(
        self,
        num_convs: int = 2,
        semantic_channels: int = 256,
        stage_weights: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
        boundary_width: int = 2,
        test_boundary_width: int = 1,
        **kwargs: Any,
    ) -> None:
        if num_convs < 1:
            raise ValueError(f"RefineMaskHead: num_convs must be positive, found {num_convs}")
        if len(stage_weights) != FUSIONS + 1:
            raise ValueError(
                f"RefineMaskHead: stage_weights must be {FUSIONS + 1} numbers, "
                f"found {tuple(stage_weights)}"
            )
        super().__init__(num_convs=num_convs, upsample_cfg=dict(type=None), **kwargs)
        channels = [self.conv_out_channels // 2**stage for stage in range(FUSIONS + 1)]
        if channels[-1] < 3:
            raise ValueError(
                f"RefineMaskHead: conv_out_channels must be {3 * 2**FUSIONS} or more, "
                f"found {self.conv_out_channels}"
            )
        self.stage_weights = stage_weights
        self.boundary_width = boundary_width
        self.test_boundary_width = test_boundary_width
        self.fusions = nn.ModuleList(
            SemanticFusion(before, semantic_channels, after)
            for before, after in zip(channels, channels[1:], strict=False)
        )
        self.finer_logits = nn.ModuleList(
            nn.Conv2d(after, self.conv_logits.out_channels, 1) for after in channels[1:]
        )

    def init_weights(self) -> None:
        """Initialize every stage's logits near 0.

        The features grow from stage to stage. With ``FCNMaskHead``'s initial weights, the logits
        would grow with them.
        """
        super().init_weights()
        for layer in (self.conv_logits, *self.finer_logits):
            normal_init(layer, std=0.01)

    def forward(self, x: Tensor, semantic: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
        """Return the logits of each stage, shape (R, C, s, s), coarse to fine.

        Args:
            x: RoI features, shape (R, K, s, s).
            semantic: one tensor per fusion, coarse to fine: the semantic features and, as the last
                channel, the semantic mask's probability, shape (R, semantic_channels + 1, s, s).
            labels: class of each RoI, shape (R,), int64; this class's mask guides the fusions.
        """
        for conv in self.convs:
            x = conv(x)
        stages = [self.conv_logits(x)]
        for fusion, predictor, pooled in zip(
            self.fusions, self.finer_logits, semantic, strict=True
        ):
            mask = select_masks(stages[-1], labels).sigmoid()
            x = fusion(x, pooled[:, :-1], torch.stack([mask, pooled[:, -1].to(mask)], dim=1))
            stages.append(predictor(x))
        return stages

    def losses(
        self, mask_preds: Sequence[Tensor], targets: tuple[Tensor, ...], labels: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted loss of each stage by name: ``loss_mask_`` plus the stage's size."""
        losses = {}
        previous: tuple[Tensor, ...] = ()  # the coarser stage's prediction and target, bool
        for stage, (logits, target) in enumerate(zip(mask_preds, targets, strict=True)):
            chosen = select_masks(logits, labels)
            if stage < WHOLE_STAGES or len(labels) == 0:
                loss = self.loss_of(logits, target, labels)
            else:
                regions = [boundary_region(mask, self.boundary_width) for mask in previous]
                loss = boundary_aware_loss(chosen, target, doubled(torch.stack(regions).any(dim=0)))
            losses[f"loss_mask_{logits.shape[-1]}"] = self.stage_weights[stage] * loss
            previous = chosen.detach() >= 0, target.bool()
        return losses

    def soft_masks(self, stages: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the refined soft mask of each RoI's class, (R, s, s) at the last stage's size."""
        probabilities = [select_masks(logits, labels).float().sigmoid() for logits in stages]
        return refine_boundaries(probabilities[WHOLE_STAGES - 1 :], self.test_boundary_width)


def boundary_region(masks: Tensor, width: int) -> Tensor:
    """Return the pixels near each mask's boundary.

    A pixel is near the boundary if the square of side ``2 width + 1`` around the pixel contains
    foreground and background. Pixels outside the RoI count as neither. The RefineMask paper instead
    approximates the Euclidean distance by a convolution.

    Args:
        masks: shape (R, s, s), bool.
        width: half the width of the region, in pixels.

    Returns:
        Shape (R, s, s), bool.
    """
    values = torch.stack([masks, ~masks], dim=1).float()
    near = F.max_pool2d(values, 2 * width + 1, stride=1, padding=width) > 0
    return near.all(dim=1)


def doubled(pixels: Tensor) -> Tensor:
    """Repeat each pixel of (R, s, s) twice in both directions."""
    return pixels.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)


def boundary_aware_loss(logits: Tensor, targets: Tensor, region: Tensor) -> Tensor:
    """Return the mean cross-entropy over a region's pixels, 0 if the region is empty.

    Args:
        logits: shape (R, s, s).
        targets: 0 or 1, shape (R, s, s), any dtype.
        region: shape (R, s, s), bool.
    """
    logits = at_least_float32(logits)
    weights = region.to(logits)
    loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits), weights, reduction="sum")
    return loss / weights.sum().clamp(min=1)


def refine_boundaries(stages: Sequence[Tensor], width: int) -> Tensor:
    """Combine the stages' soft masks (boundary-aware refinement).

    The combined mask starts as the first stage's mask. For each finer stage, the combined mask is
    doubled in size, and the finer stage replaces the pixels near the combined mask's boundary.

    Args:
        stages: probabilities (R, s, s); s doubles from stage to stage.
        width: half the width of the boundary region, in pixels of the coarser stage.

    Returns:
        Shape (R, s, s), the size of the last stage.
    """
    refined = stages[0]
    for finer in stages[1:]:
        region = doubled(boundary_region(refined >= 0.5, width))
        coarser = F.interpolate(
            refined[:, None], scale_factor=2, mode="bilinear", align_corners=False
        )[:, 0]
        refined = torch.where(region, finer, coarser)
    return refined
