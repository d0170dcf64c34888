"""Train a detector to predict the same for an image and its mirror image (CSD)."""

import math
from typing import Any

import torch
from mmengine.logging import MessageHub
from torch import Tensor

from nbseg.models.soft_masks import predict_soft_masks
from nbseg.registry import MODELS
from nbseg.semi.joint_batch import extract_jointly
from nbseg.semi.joint_student import Branch, JointStudent
from nbseg.semi.proposals import likeliest_objects, propose, require_one_mask_size


@MODELS.register_module()
class MirrorConsistency(JointStudent):
    """Trains without pseudo-labels: predictions for an image and its mirror image must agree.

    This is CSD (Jeong et al., NeurIPS 2019) for detectors with a mask head. The losses below use
    labeled and unlabeled images. The RoIs are the proposals for the image in which an object is
    likelier than background. The mirror image has the mirrored RoIs. The losses compare the
    predictions for the image with the predictions for the mirror image:

    - class probabilities, by the mean of the Kullback-Leibler divergences in both directions. In
      each direction, the gradient flows through only one of the two images.
    - box deltas of the likeliest class, by their squared difference. The sign of the horizontal
      shift is reversed for the mirror image.
    - masks of the likeliest class, by the squared difference of the probabilities.

    Args:
        detector: config of the student.
        rois: largest number of proposals per image. RoIs are chosen from the proposals with the
            highest objectness.
        rise: share of the iterations, from 0 to 1, after which the factor on the losses has grown
            from almost 0 to ``unsup_weight``.
        fall: share of the iterations, from 0 to 1, after which the factor falls again, to almost 0
            at the end of the training.
        **kwargs: other arguments of the base class ``JointStudent``; ``ramp`` has no effect.

    Raises:
        TypeError: the RoI head is not a ``StandardRoIHead``, or its mask head returns several
            tensors of logits.
    """

    def __init__(
        self,
        detector: dict[str, Any],
        rois: int = 64,
        rise: float = 0.27,
        fall: float = 0.83,
        **kwargs: Any,
    ) -> None:
        super().__init__(detector, **kwargs)
        require_one_mask_size(self.student, type(self).__name__)
        self.rois = rois
        self.rise = rise
        self.fall = fall

    def current_weight(self) -> float:
        """Return the factor on the losses of ``other_losses`` in this iteration.

        The factor rises at the start of the training and falls at its end, as in the code of CSD's
        authors.
        """
        hub = MessageHub.get_current_instance()
        done = hub.get_info("iter", 0) / hub.get_info("max_iters", 1)
        if done < self.rise:
            return self.unsup_weight * math.exp(-5 * (1 - done / self.rise) ** 2)
        late = max(0.0, done - self.fall) / (1 - self.fall)
        return self.unsup_weight * math.exp(-12.5 * late**2)

    def other_losses(self, labeled: Branch, other: Branch) -> dict[str, Any]:
        """Return a dict with the losses of classes, boxes and masks.

        The keys are ``loss_mirror_cls``, ``loss_mirror_bbox`` and ``loss_mirror_mask``.

        Args:
            labeled: labeled images.
            other: unlabeled images. The losses are averaged over all images of both arguments.
        """
        branches = (labeled, other)
        images = [len(branch.inputs) for branch in branches]
        flipped = [branch.inputs.flip(-1) for branch in branches]
        mirrored = extract_jointly(self.student, flipped)
        parts = [self._differences(*pair) for pair in zip(branches, mirrored, strict=True)]
        return {
            name: sum(n * part[name] for n, part in zip(images, parts, strict=True)) / sum(images)
            for name in parts[0]
        }

    def _differences(self, branch: Branch, mirrored: tuple[Tensor, ...]) -> dict[str, Tensor]:
        roi_head = self.student.roi_head
        rois = propose(self.student, branch, self.rois)
        mirrored_rois = rois.clone()
        mirrored_rois[:, [1, 3]] = branch.inputs.shape[-1] - rois[:, [3, 1]]
        views = ((branch.features, rois), (mirrored, mirrored_rois))

        boxes = [roi_head._bbox_forward(*view) for view in views]
        log_p, log_q = (box["cls_score"].log_softmax(dim=1) for box in boxes)
        classes, chosen = likeliest_objects(log_p)
        divergence = _divergence(log_p, log_q.detach()) + _divergence(log_q, log_p.detach())
        deltas, others = (_of_class(box["bbox_pred"], classes) for box in boxes)
        shift = deltas - others * deltas.new_tensor([-1, 1, 1, 1])
        masks, flipped_masks = (
            predict_soft_masks(roi_head, x, roi[chosen], classes[chosen]) for x, roi in views
        )
        count = chosen.sum().clamp(min=1)
        return {
            "loss_mirror_cls": (0.5 * divergence * chosen).sum() / count,
            "loss_mirror_bbox": (shift.square().mean(dim=1) * chosen).sum() / count,
            "loss_mirror_mask": (masks - flipped_masks.flip(-1)).square().flatten(1).mean(1).sum()
            / count,
        }


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence KL(p || q) of each RoI, shape (N,).

    Args:
        log_p, log_q: logarithms of class probabilities, shape (N, C + 1).
    """
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def _of_class(deltas: Tensor, classes: Tensor) -> Tensor:
    """Return the box deltas of each RoI's class, (N, 4); ``deltas`` is (N, 4) or (N, 4C)."""
    if deltas.shape[1] == 4:
        return deltas
    return deltas.view(len(deltas), deltas.shape[1] // 4, 4)[torch.arange(len(deltas)), classes]
