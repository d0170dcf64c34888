"""Provide the base class of mask heads with several mask predictions."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor

from nbseg.models.logits import mask_channels
from nbseg.models.proposal_targets import proposal_labels, proposal_mask_targets
from nbseg.models.rle_mask_head import RLEMaskHead


class MultiMaskHead(RLEMaskHead):
    """Is the base class of mask heads that return several tensors of logits in training.

    A subclass implements ``losses``.
    """

    def losses(
        self, mask_preds: Sequence[Tensor], targets: tuple[Tensor, ...], labels: Tensor
    ) -> dict[str, Tensor]:
        """Return a dict of the losses by name.

        Args:
            mask_preds: the tensors of logits that ``forward`` returns in training, each of shape
                (R, C, s, s), for R proposals and C classes.
            targets: one tensor per size that ``target_sizes`` returns, shape (R, s, s), uint8 of 0
                and 1.
            labels: class of each proposal, shape (R,), int64.
        """
        raise NotImplementedError

    def target_sizes(
        self, mask_preds: Sequence[Tensor], rcnn_train_cfg: ConfigType
    ) -> tuple[int, ...]:
        """Return the side length of the mask targets for each tensor of logits.

        The side length of the targets equals the side length of the logits.

        Args:
            mask_preds: the tensors of logits that ``forward`` returns in training.
            rcnn_train_cfg: the ``train_cfg`` of the RoI head. It is not used here, but a subclass
                can read it.
        """
        return tuple(logits.shape[-1] for logits in mask_preds)

    def loss_and_target(
        self,
        mask_preds: Sequence[Tensor],
        sampling_results: list[SamplingResult],
        batch_gt_instances: InstanceList,
        rcnn_train_cfg: ConfigType,
    ) -> dict[str, Any]:
        """Return a dict with the keys ``loss_mask`` and ``mask_targets``.

        The value of ``loss_mask`` is a dict of losses by name. The value of ``mask_targets`` is a
        tuple with one tensor per size that ``target_sizes`` returns.

        Args:
            mask_preds: the tensors of logits that ``forward`` returns in training.
            sampling_results: the sampled proposals of each image.
            batch_gt_instances: the ground-truth instances of each image, with ``masks``.
            rcnn_train_cfg: the ``train_cfg`` of the RoI head.
        """
        sizes = self.target_sizes(mask_preds, rcnn_train_cfg)
        targets = proposal_mask_targets(sampling_results, batch_gt_instances, sizes)
        losses = self.losses(mask_preds, targets, proposal_labels(sampling_results))
        return dict(loss_mask=losses, mask_targets=targets)

    def loss_of(self, logits: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Return the loss ``self.loss_mask`` of one tensor of logits, a scalar.

        If there are no proposals, the loss is a 0 that depends on the logits, so that the backward
        pass works.

        Args:
            logits: logits of R proposals and C classes, shape (R, C, s, s).
            target: shape (R, s, s), uint8 of 0 and 1.
            labels: class of each proposal, shape (R,), int64.
        """
        if len(labels) == 0:
            return logits.sum()
        # MMDetection's cross-entropy needs floating targets.
        loss: Tensor = self.loss_mask(logits, target.float(), mask_channels(logits, labels))
        return loss

    def _require_doubling_deconvolution(self) -> None:
        """Raise a ValueError unless the head upsamples with a stride-2 deconvolution."""
        if self.upsample_method != "deconv" or self.scale_factor != 2:
            raise ValueError(
                f"{type(self).__name__}: upsample_cfg must be "
                "dict(type='deconv', scale_factor=2), "
                f"found type {self.upsample_method!r} and scale_factor {self.scale_factor}"
            )
