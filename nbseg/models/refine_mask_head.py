"""Define the multi-stage mask head of RefineMask (Zhang et al., CVPR 2021, section 3).

    RoI features (R, K, 14, 14) ─ convs ─┬─► fusion ─┬─► fusion ─┬─► fusion ─┐
                                         ▼           ▼           ▼           ▼
                                     logits 14   logits 28   logits 56   logits 112

Each fusion also reads the RoI's semantic features, the semantic mask and the previous stage's mask.
The semantic mask is a soft mask of all objects together. ``ForegroundHead`` predicts the semantic
features and the semantic mask.

Logits have the shape (R, C, s, s). There are R RoIs, K channels and C classes; C is 1 for
class-agnostic masks. The first two stages predict whole masks. The last two stages are trained and
used only near boundaries (boundary-aware refinement).
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

FUSIONS = 3  # there is one stage before the first fusion, and one stage after each fusion
DILATIONS = (1, 3, 5)
WHOLE_STAGES = 2  # stages that predict whole masks


class SemanticFusion(nn.Module):
    """Fuses instance features, semantic features and two masks, and doubles the resolution.

    The two masks are the previous stage's mask of the instance, and the semantic mask, which covers
    all instances together. All inputs are concatenated and pass through these steps:

    1. a 1x1 convolution;
    2. the sum of three parallel 3x3 convolutions with the dilations 1, 3 and 5;
    3. another 1x1 convolution, to whose result the two masks are appended;
    4. bilinear upsampling by the factor 2.

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
            masks: probabilities of the instance mask and of the semantic mask, shape (R, 2, s, s).
        """
        masks = masks.to(instance)
        fused = self.reduce(torch.cat([instance, semantic.to(instance), masks], dim=1))
        fused = self.merge(sum(branch(fused) for branch in self.branches))
        fused = torch.cat([fused, masks.to(fused)], dim=1)
        return F.interpolate(fused, scale_factor=2, mode="bilinear", align_corners=False)


@MODELS.register_module()
class RefineMaskHead(MultiMaskHead):
    """Predicts masks in four stages, from coarse to fine; ``RefineMaskRoIHead`` uses this head.

    The last two stages are trained and used only in the boundary region. This region consists of
    the pixels near the boundary of the previous stage's mask; in training, pixels near the boundary
    of the previous stage's target are added. Each stage has half as many channels as the previous
    stage. The loss has one entry per stage.
    An entry's name ends with the side length of the stage's logits. For RoI features of 14 x 14,
    the names are ``loss_mask_14``, ``loss_mask_28``, ``loss_mask_56`` and ``loss_mask_112``.

    Args:
        num_convs: number of convolutions before the first stage.
        semantic_channels: channels of the semantic features, which ``ForegroundHead`` predicts for
            all objects together.
        stage_weights: four factors, one on each stage's loss.
        boundary_width: half the width of the boundary region in training, in pixels of the
            previous stage's mask.
        test_boundary_width: half the width of the boundary region in prediction, in pixels of the
            previous stage's mask.
        **kwargs: options of MMDetection's ``FCNMaskHead`` except ``upsample_cfg``. ``loss_mask`` is
            the loss of the first two stages. The last two stages always use the binary
            cross-entropy.

    Raises:
        ValueError: ``num_convs`` is not positive, ``conv_out_channels`` is less than 24, or
            ``stage_weights`` does not have four values.
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
        """Initialize the weights so that every stage's logits start near 0.

        The values of the features grow from stage to stage. With ``FCNMaskHead``'s initialization,
        the logits would grow, too.
        """
        super().init_weights()
        for layer in (self.conv_logits, *self.finer_logits):
            normal_init(layer, std=0.01)

    def forward(self, x: Tensor, semantic: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
        """Return the logits of each stage, shape (R, C, s, s), from coarse to fine.

        Args:
            x: features of R RoIs with K channels, shape (R, K, s, s).
            semantic: one tensor per fusion, from coarse to fine, shape
                (R, semantic_channels + 1, s, s). The last channel is the semantic mask's
                probability. The other channels are the semantic features.
            labels: class of each RoI, shape (R,), int64. The fusions read the mask of this class.
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
        """Return a dict with the weighted loss of each stage.

        The name of a loss ends with the side length of the stage's logits, as in ``loss_mask_28``.
        The arguments are those of ``MultiMaskHead.losses``.
        """
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
        """Return the mask probabilities of each RoI's class, in the size (s, s) of the last stage.

        Args:
            stages: logits of each stage, as ``forward`` returns them.
            labels: class of each RoI, shape (R,), int64.

        Returns:
            Probabilities, shape (R, s, s), float32.
        """
        probabilities = [select_masks(logits, labels).float().sigmoid() for logits in stages]
        return refine_boundaries(probabilities[WHOLE_STAGES - 1 :], self.test_boundary_width)


def boundary_region(masks: Tensor, width: int) -> Tensor:
    """Return which pixels are near their mask's boundary.

    A pixel is near the boundary if the square of side ``2 width + 1`` around the pixel contains
    foreground and background. Pixels outside the RoI are neither foreground nor background. The
    RefineMask paper defines the region differently: by Euclidean distances to the boundary, which
    the paper approximates by a convolution.

    Args:
        masks: shape (R, s, s), bool.
        width: half the width of the region, in pixels.

    Returns:
        Shape (R, s, s), bool; True for a pixel near the boundary.
    """
    values = torch.stack([masks, ~masks], dim=1).float()
    near = F.max_pool2d(values, 2 * width + 1, stride=1, padding=width) > 0
    return near.all(dim=1)


def doubled(pixels: Tensor) -> Tensor:
    """Double height and width of a tensor (R, s, s): each pixel becomes four equal pixels."""
    return pixels.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)


def boundary_aware_loss(logits: Tensor, targets: Tensor, region: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over a region's pixels, or 0 for an empty region.

    Args:
        logits: shape (R, s, s).
        targets: 0 or 1, shape (R, s, s), any dtype.
        region: shape (R, s, s), bool; True for the pixels of the region.
    """
    logits = at_least_float32(logits)
    weights = region.to(logits)
    loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits), weights, reduction="sum")
    return loss / weights.sum().clamp(min=1)


def refine_boundaries(stages: Sequence[Tensor], width: int) -> Tensor:
    """Combine the masks of all stages into one mask (boundary-aware refinement).

    The combined mask starts as the first stage's mask. For each later stage, the combined mask is
    doubled in size. Then the later stage's mask replaces the pixels near the combined mask's
    boundary.

    Args:
        stages: probabilities (R, s, s) of each stage; s doubles from stage to stage.
        width: half the width of the boundary region, in pixels of the combined mask before it is
            doubled.

    Returns:
        Probabilities of the combined mask, shape (R, s, s), with the last stage's side length s.
    """
    refined = stages[0]
    for finer in stages[1:]:
        region = doubled(boundary_region(refined >= 0.5, width))
        coarser = F.interpolate(
            refined[:, None], scale_factor=2, mode="bilinear", align_corners=False
        )[:, 0]
        refined = torch.where(region, finer, coarser)
    return refined
