"""The noise-tolerant mask head (paper, section 3.2).

    RoI features (R, K, 14, 14) ─ shared convs ─┬─ fine: conv, deconv x2, 3x3 ─► (R, C, 28, 28)
                                                └─ coarse: conv, conv, 1x1 ─► (R, C, 14, 14)

    coarse logits ─ deconv x2 ─┐
    fine logits ───────────────┴─ concat, 1x1 ─► fused logits (R, C, 28, 28)

R RoIs, K feature channels, C classes (1 if class-agnostic). The fused logits are supervised at
28x28 and the coarse logits at 14x14, where a cell averages out the noise of a pseudo-label's
boundary.
"""

from typing import Any

import torch
from mmcv.cnn import ConvModule, build_conv_layer
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor, nn

from nbseg.models.proposal_targets import proposal_mask_targets
from nbseg.models.rle_mask_head import RLEMaskHead
from nbseg.registry import MODELS


@MODELS.register_module()
class NoiseTolerantMaskHead(RLEMaskHead):
    """Mask head with a fine and a coarse branch whose logits are fused.

    Works wherever ``FCNMaskHead`` does. In training ``forward`` returns ``(fused, coarse)`` logits
    and the loss has the entries ``loss_mask`` and ``loss_mask_coarse``; at test time it returns the
    fused logits alone, so prediction is ``RLEMaskHead``'s.

    Weights of a plain ``FCNMaskHead`` with one convolution more, a teacher's, load into the shared
    convolutions and the fine branch; the head then predicts what the plain one does.

    Args:
        num_convs: convolutions shared by the two branches.
        loss_mask: loss on both resolutions, e.g. ``CrossEntropyLoss(use_mask=True)`` or
            ``BoundaryPreservingLoss``.
        **kwargs: of ``RLEMaskHead``. The upsampling is always a stride-2 deconvolution.
    """

    def __init__(self, num_convs: int = 3, **kwargs: Any) -> None:
        super().__init__(num_convs=num_convs, **kwargs)
        if self.upsample_method != "deconv" or self.scale_factor != 2:
            raise ValueError(
                "NoiseTolerantMaskHead: upsample_cfg must be dict(type='deconv', scale_factor=2), "
                f"found type {self.upsample_method!r} and scale_factor {self.scale_factor}"
            )
        classes = 1 if self.class_agnostic else self.num_classes
        channels = self.conv_out_channels if num_convs else self.in_channels

        def conv(in_channels: int) -> ConvModule:
            return ConvModule(
                in_channels,
                self.conv_out_channels,
                self.conv_kernel_size,
                padding=(self.conv_kernel_size - 1) // 2,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
            )

        self.fine_conv = conv(channels)
        self.upsample = nn.ConvTranspose2d(self.conv_out_channels, self.conv_out_channels, 2, 2)
        self.conv_logits = build_conv_layer(
            self.predictor_cfg, self.conv_out_channels, classes, 3, padding=1
        )
        self.coarse_convs = nn.Sequential(conv(channels), conv(self.conv_out_channels))
        self.coarse_logits = build_conv_layer(
            self.predictor_cfg, self.conv_out_channels, classes, 1
        )
        self.coarse_upsample = nn.ConvTranspose2d(classes, classes, 2, 2)
        self.fusion = nn.Conv2d(2 * classes, classes, 1)
        self.register_load_state_dict_pre_hook(_continue_plain_head)

    def init_weights(self) -> None:
        """Initialize as ``FCNMaskHead`` does; the fused logits start as the mean of the branches'.

        A random fusion would first have to learn which channel is which class.
        """
        super().init_weights()
        # Small: in a student that starts from its teacher the other layers are trained already.
        nn.init.normal_(self.coarse_logits.weight, std=0.01)
        nn.init.zeros_(self.coarse_logits.bias)
        classes = self.coarse_upsample.in_channels
        identity = torch.eye(classes)
        with torch.no_grad():
            self.coarse_upsample.weight.copy_(identity[:, :, None, None].expand(-1, -1, 2, 2))
            self.fusion.weight.copy_(torch.cat([identity, identity], 1)[:, :, None, None] / 2)
        for layer in (self.coarse_upsample, self.fusion):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return mask logits.

        Args:
            x: RoI features, shape (R, K, s, s).

        Returns:
            Fused logits (R, C, 2s, 2s); in training a tuple of them and the coarse logits
            (R, C, s, s).
        """
        for shared_conv in self.convs:
            x = shared_conv(x)
        fine = self.conv_logits(self.relu(self.upsample(self.fine_conv(x))))
        coarse = self.coarse_logits(self.coarse_convs(x))
        fused = self.fusion(torch.cat([fine, self.coarse_upsample(coarse)], dim=1))
        return (fused, coarse) if self.training else fused

    def get_targets(  # type: ignore[override]  # one size more than a plain head
        self,
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> tuple[Tensor, Tensor]:
        """Return the targets of the fused and of the coarse logits.

        Args:
            sampling_results: one per image.
            batch_gt_instances: one per image, with ``masks``.
            rcnn_train_cfg: its ``mask_size`` is the side s of the fused logits.

        Returns:
            uint8 tensors of shape (R, s, s) and (R, s/2, s/2), R all images' positive proposals.
        """
        size = int(rcnn_train_cfg["mask_size"])
        fine, coarse = proposal_mask_targets(
            sampling_results, batch_gt_instances, sizes=(size, size // 2)
        )
        return fine, coarse

    def loss_and_target(
        self,
        mask_preds: tuple[Tensor, Tensor],
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> dict[str, Any]:
        """Return ``dict(loss_mask=dict(loss_mask, loss_mask_coarse), mask_targets)``.

        Arguments as in ``FCNMaskHead.loss_and_target``, ``mask_preds`` being the training output of
        ``forward``.
        """
        fused, coarse = mask_preds
        targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        for name, logits, target in zip(("fused", "coarse"), mask_preds, targets, strict=True):
            if logits.shape[-2:] != target.shape[-2:]:
                raise ValueError(
                    f"NoiseTolerantMaskHead: {name} logits are {tuple(logits.shape[-2:])} but "
                    f"their targets {tuple(target.shape[-2:])}; set train_cfg.rcnn.mask_size to "
                    f"{fused.shape[-1]}"
                )
        labels = torch.cat([sampling.pos_gt_labels for sampling in sampling_results])
        if self.class_agnostic:
            labels = torch.zeros_like(labels)
        losses = {}
        for name, logits, target in zip(
            ("loss_mask", "loss_mask_coarse"), mask_preds, targets, strict=True
        ):
            # MMDetection's cross-entropy wants floating targets; the sum keeps the graph.
            losses[name] = (
                self.loss_mask(logits, target.float(), labels) if len(labels) else logits.sum()
            )
        return dict(loss_mask=losses, mask_targets=targets)


def _continue_plain_head(
    head: NoiseTolerantMaskHead, state_dict: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Let a checkpoint of a plain head with one convolution more become the fine branch.

    The fused logits then start as the plain head's, instead of shaking the features that a student
    takes over from its teacher by a loss on fresh weights.
    """
    last_conv = f"{prefix}convs.{len(head.convs)}."
    logits = state_dict.get(f"{prefix}conv_logits.weight")
    if logits is None or not any(key.startswith(last_conv) for key in state_dict):
        return
    for key in [key for key in state_dict if key.startswith(last_conv)]:
        state_dict[f"{prefix}fine_conv.{key.removeprefix(last_conv)}"] = state_dict.pop(key)
    classes = len(logits)
    # The center of a 3x3 kernel does what the plain head's 1x1 does.
    state_dict[f"{prefix}conv_logits.weight"] = nn.functional.pad(logits, (1, 1, 1, 1))
    identity = torch.eye(classes)[:, :, None, None].to(logits)
    state_dict[f"{prefix}fusion.weight"] = torch.cat([identity, 0 * identity], dim=1)
    state_dict[f"{prefix}fusion.bias"] = logits.new_zeros(classes)
