"""Define the noise-tolerant mask head (Noisy Boundaries, arXiv 2203.13427, section 3.2).

    RoI features (R, K, 14, 14) ─ shared convs ─┬─ fine: conv, deconv x2, 3x3 ─► (R, C, 28, 28)
                                                └─ coarse: conv, conv, 1x1 ─► (R, C, 14, 14)

    coarse logits ─ deconv x2 ─┐
    fine logits ───────────────┴─ concat, 1x1 ─► fused logits (R, C, 28, 28)

There are R RoIs, K feature channels and C classes; C is 1 for class-agnostic masks. The fused
logits have targets of 28x28 cells, and the coarse logits have targets of 14x14 cells. A cell of
the coarse targets covers four times the area of a cell of the fine targets. Coarse targets are
therefore less affected by noise at the boundary of a pseudo-label.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule, build_conv_layer
from mmdet.utils import ConfigType
from mmengine.model import constant_init, normal_init
from torch import Tensor, nn

from nbseg.models.multi_mask_head import MultiMaskHead
from nbseg.registry import MODELS


@MODELS.register_module()
class NoiseTolerantMaskHead(MultiMaskHead):
    """Predicts masks in a fine and a coarse branch, and fuses the logits of the two branches.

    The head can replace ``FCNMaskHead`` in any RoI head.

    In training, ``forward`` returns the pair (fused logits, coarse logits), and the loss has the
    entries ``loss_mask`` and ``loss_mask_coarse``. At test time, ``forward`` returns only the fused
    logits. The base class ``RLEMaskHead`` converts them to bitmaps or COCO RLEs.

    The head can load the weights of a teacher's ``FCNMaskHead`` that has ``num_convs + 1``
    convolutions. These weights fill the shared convolutions and the fine branch. The head then
    predicts the same masks as the teacher's head.

    Args:
        num_convs: number of convolutions that the two branches share.
        **kwargs: options of MMDetection's ``FCNMaskHead``. The loss ``loss_mask`` applies to the
            fused logits and to the coarse logits. Examples of ``loss_mask`` are
            ``CrossEntropyLoss(use_mask=True)`` and ``BoundaryPreservingLoss``.

    Raises:
        ValueError: ``upsample_cfg`` is not ``dict(type="deconv", scale_factor=2)``.
    """

    def __init__(self, num_convs: int = 3, **kwargs: Any) -> None:
        super().__init__(num_convs=num_convs, **kwargs)
        self._require_doubling_deconvolution()
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
        self.register_load_state_dict_pre_hook(_adapt_plain_head)

    def init_weights(self) -> None:
        """Initialize the weights so that the fused logits are the mean of both branches' logits.

        With random weights, the fusion layer would first have to learn which channel belongs to
        which class. Layers that ``FCNMaskHead`` also has are initialized as in ``FCNMaskHead``.
        """
        super().init_weights()
        # Large random logits would disturb the layers that a student takes over from its teacher.
        normal_init(self.coarse_logits, std=0.01)
        for layer in (self.coarse_upsample, self.fusion):
            constant_init(layer, 0)
        classes = self.coarse_upsample.in_channels
        identity = torch.eye(classes)
        with torch.no_grad():
            self.coarse_upsample.weight.copy_(identity[:, :, None, None].expand(-1, -1, 2, 2))
            self.fusion.weight.copy_(torch.cat([identity, identity], 1)[:, :, None, None] / 2)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the fused logits; in training, the pair (fused logits, coarse logits).

        Args:
            x: features of R RoIs with K channels, shape (R, K, s, s).

        Returns:
            Fused logits of shape (R, C, 2s, 2s), and in training coarse logits of shape
            (R, C, s, s). C is the number of classes, or 1 for class-agnostic masks.
        """
        for shared_conv in self.convs:
            x = shared_conv(x)
        fine = self.conv_logits(self.relu(self.upsample(self.fine_conv(x))))
        coarse = self.coarse_logits(self.coarse_convs(x))
        fused: Tensor = self.fusion(torch.cat([fine, self.coarse_upsample(coarse)], dim=1))
        return (fused, coarse) if self.training else fused

    def target_sizes(
        self, mask_preds: Sequence[Tensor], rcnn_train_cfg: ConfigType
    ) -> tuple[int, ...]:
        """Return the side lengths of the fused and the coarse logits.

        Raises:
            ValueError: the side length of the fused logits is not ``rcnn_train_cfg["mask_size"]``.
        """
        fine, coarse = super().target_sizes(mask_preds, rcnn_train_cfg)
        size = int(rcnn_train_cfg["mask_size"])
        if size != fine:
            raise ValueError(
                f"NoiseTolerantMaskHead: the fused logits have size {(fine, fine)}, but their "
                f"targets have size {(size, size)}; set train_cfg.rcnn.mask_size to {fine}"
            )
        return fine, coarse

    def losses(
        self, mask_preds: Sequence[Tensor], targets: tuple[Tensor, ...], labels: Tensor
    ) -> dict[str, Tensor]:
        """Return a dict with the losses of the fused logits and of the coarse logits.

        The key ``loss_mask`` holds the loss of the fused logits, and ``loss_mask_coarse`` holds the
        loss of the coarse logits. The arguments are those of ``MultiMaskHead.losses``.
        """
        names = ("loss_mask", "loss_mask_coarse")
        return {
            name: self.loss_of(logits, target, labels)
            for name, logits, target in zip(names, mask_preds, targets, strict=True)
        }


def _adapt_plain_head(
    head: NoiseTolerantMaskHead, state_dict: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Convert the weights of a plain ``FCNMaskHead`` to weights of a noise-tolerant head, in place.

    The last convolution of the plain head becomes the convolution of the fine branch
    (``fine_conv``). Nothing changes if the plain head has no more convolutions than ``head.convs``.

    After the conversion, the fused logits equal the plain head's logits. The random weights of the
    coarse branch then do not disturb the features that a student takes over from its teacher.

    Args:
        head: the head that will load the weights.
        state_dict: weights by name, which are changed.
        prefix: start of the names of the mask head's weights, such as ``roi_head.mask_head.``.
    """
    last_conv = f"{prefix}convs.{len(head.convs)}."
    logits = state_dict.get(f"{prefix}conv_logits.weight")
    if logits is None or not any(key.startswith(last_conv) for key in state_dict):
        return
    for key in [key for key in state_dict if key.startswith(last_conv)]:
        state_dict[f"{prefix}fine_conv.{key.removeprefix(last_conv)}"] = state_dict.pop(key)
    classes = len(logits)
    # A 3x3 kernel that is zero around its center equals the plain head's 1x1 kernel.
    state_dict[f"{prefix}conv_logits.weight"] = nn.functional.pad(logits, (1, 1, 1, 1))
    identity = torch.eye(classes)[:, :, None, None].to(logits)
    state_dict[f"{prefix}fusion.weight"] = torch.cat([identity, 0 * identity], dim=1)
    state_dict[f"{prefix}fusion.bias"] = logits.new_zeros(classes)
