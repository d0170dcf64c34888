"""Train a student on pseudo-labels that its moving average, the teacher, makes for each batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import SemiBaseDetector
from mmdet.models.utils import rename_loss_dict, reweight_loss_dict
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from nbseg.errors import StageError
from nbseg.models.soft_masks import require_soft_masks
from nbseg.registry import MODELS
from nbseg.semi.joint_batch import extract_jointly, losses_from
from nbseg.semi.loss_limit import LossLimit
from nbseg.semi.plain_checkpoint import spread_plain_checkpoint
from nbseg.semi.pseudo_instances import Motion, move_boxes, move_instances
from nbseg.semi.running_thresholds import RunningThresholds
from nbseg.semi.teacher_predictions import (
    add_soft_masks,
    class_count,
    predict_boxes,
    require_ignoring,
    soft_masks_and_boxes,
)


@MODELS.register_module()
class OnlineTeacher(SemiBaseDetector):
    """Trains a two-stage detector with a mask head on labeled and unlabeled images.

    The teacher's weights are a moving average of the student's weights (``OnlineTeacherHook``). In
    each iteration, the teacher predicts the weakly augmented views of the unlabeled images. The
    predictions whose score reaches the threshold of their class become labels for the student,
    which sees the strongly augmented views. Boxes with a score between ``ignore_score`` and the
    threshold count neither as objects nor as background for the student.

    The inputs come from MMDetection's ``MultiBranchDataPreprocessor`` and have three branches:
    ``sup`` (labeled images), ``unsup_teacher`` (weak views) and ``unsup_student`` (strong views).
    The student's backbone and neck process labeled images and strong views as one batch, so that
    batch normalization sees both kinds of images together, as in offline training.

    Args:
        detector: config from which student and teacher are built. Unless ``ignore_score`` is None,
            the detector's assigners need an ``ignore_iof_thr`` above 0, such as 0.5. They should be
            of the type ``IgnoringMaxIoUAssigner``, because MMDetection's ``MaxIoUAssigner`` cannot
            ignore regions of images without objects.
        data_preprocessor: config of a ``MultiBranchDataPreprocessor``.
        predict_on: model that is validated, tested and kept as the trained detector,
            ``"teacher"`` or ``"student"``.
        box_threshold: lowest score of a label: one number for all classes, a list with one number
            per class, or ``"match"``. With ``"match"``, unlabeled images get on average as many
            labels of each class as labeled images have.
        pixel_threshold: lowest probability of a foreground pixel in a label's mask: a number, or
            ``"match"``. With ``"match"``, masks fill the same share of their boxes in unlabeled
            images as in labeled images.
        floor: lower bound of the score thresholds that ``"match"`` chooses.
        decay: factor by which the counts of earlier predictions, from which ``"match"`` chooses
            thresholds, are multiplied in each iteration.
        ignore_score: lowest score of an ignored prediction. With None, no prediction is ignored:
            predictions below the threshold are background.
        mask_nms_iou: of two labels whose masks have this IoU or more, only the label with the
            higher score is kept. None keeps both.
        min_size: smallest width and height of a label's box in pixels of the strong view. Smaller
            labels are left out.
        sup_weight: factor on the losses of labeled images.
        unsup_weight: factor on the losses of unlabeled images.
        unsup_box_weight: further factor on the box-regression losses of unlabeled images. Unbiased
            Teacher (Liu et al., ICLR 2021) sets it to 0.
        ramp: number of iterations during which the factor on the losses of unlabeled images grows
            linearly to ``unsup_weight``; with 0, the factor is constant. The growth starts when
            unlabeled images are first used: after a ``burn_in`` without ``teacher_checkpoint``,
            otherwise in the first iteration.
        burn_in: number of iterations before the teacher starts to follow the student. During the
            burn-in, a teacher with a ``teacher_checkpoint`` makes labels, and its weights do not
            change. Without a ``teacher_checkpoint``, the student learns only from labeled images.
            At the end of the burn-in, the student's weights are copied to the teacher.
        teacher_checkpoint: path of a detector's checkpoint with the teacher's first weights. With
            None, the teacher starts with the student's weights.
        loss_limit: factor in the limit on the losses of unlabeled images. The limit is this factor
            times the sum of the losses of labeled images, or times the running mean of the losses
            of unlabeled images if the mean is larger. Losses above the limit are scaled down.
        init_cfg: MMEngine's config of the initial weights.

    Raises:
        TypeError: the detector cannot predict soft masks.
        ValueError: ``ignore_score`` is a number, but an assigner of the detector ignores no boxes;
            or an argument is out of range.
    """

    def __init__(
        self,
        detector: dict[str, Any],
        data_preprocessor: dict[str, Any] | None = None,
        predict_on: str = "teacher",
        box_threshold: str | float | Sequence[float] = "match",
        pixel_threshold: str | float = "match",
        floor: float = 0.1,
        decay: float = 0.99,
        ignore_score: float | None = 0.1,
        mask_nms_iou: float | None = 0.5,
        min_size: float = 1.0,
        sup_weight: float = 1.0,
        unsup_weight: float = 1.0,
        unsup_box_weight: float = 1.0,
        ramp: int = 0,
        burn_in: int = 0,
        teacher_checkpoint: str | None = None,
        loss_limit: float = 10.0,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        if predict_on not in ("teacher", "student"):
            raise ValueError(f'predict_on must be "teacher" or "student", found {predict_on!r}')
        super().__init__(
            detector,
            semi_train_cfg=dict(freeze_teacher=True, sup_weight=sup_weight),
            semi_test_cfg=dict(
                predict_on=predict_on, forward_on=predict_on, extract_feat_on=predict_on
            ),
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        require_soft_masks(self.student, type(self).__name__)
        if ignore_score is not None:
            require_ignoring(self.student)
        self.thresholds = RunningThresholds(
            class_count(self.student), box_threshold, pixel_threshold, floor, decay
        )
        self.loss_limit = LossLimit(loss_limit)
        self.ignore_score = ignore_score
        self.mask_nms_iou = mask_nms_iou
        self.min_size = min_size
        self.unsup_weight = unsup_weight
        self.unsup_box_weight = unsup_box_weight
        self.ramp = ramp
        self.burn_in = burn_in
        self.teacher_checkpoint = teacher_checkpoint
        # OnlineTeacherHook sets the iteration. Without the hook, the teacher would never change.
        self.iteration: int | None = None

    def train(self, mode: bool = True) -> "OnlineTeacher":
        """Set the student to training or evaluation mode; the teacher stays in evaluation mode.

        Args:
            mode: True for training mode, False for evaluation mode.

        Returns:
            This module.
        """
        super().train(mode)
        self.teacher.eval()
        return self

    def loss(
        self,
        multi_batch_inputs: dict[str, Tensor],
        multi_batch_data_samples: dict[str, SampleList],
    ) -> dict[str, Any]:
        """Return a dict with the losses, and with values for the log.

        The names of the losses of labeled images start with ``sup_``. The names of the losses of
        unlabeled images start with ``unsup_loss``. The values for the log are the thresholds, the
        factors on the losses, and the mean numbers of labels and of ignored boxes per image. During
        a burn-in without a teacher checkpoint, the dict has only the losses of labeled images.

        Args:
            multi_batch_inputs: images of each branch, (N, 3, H, W).
            multi_batch_data_samples: samples of each branch.

        Raises:
            StageError: the training has no ``OnlineTeacherHook``.
        """
        if self.iteration is None:
            raise StageError(
                "OnlineTeacher needs a hook that updates the teacher, but found none; add "
                "dict(type='OnlineTeacherHook') to custom_hooks"
            )
        inputs, samples = multi_batch_inputs, multi_batch_data_samples
        self.thresholds.count_labeled([sample.gt_instances for sample in samples["sup"]])
        if self.iteration < self.burn_in and self.teacher_checkpoint is None:
            return dict(self.loss_by_gt_instances(inputs["sup"], samples["sup"]))
        found, _ = self.get_pseudo_instances(inputs["unsup_teacher"], samples["unsup_teacher"])
        strong = self.project_pseudo_instances(found, samples["unsup_student"])
        batches = [inputs["sup"], inputs["unsup_student"]]
        sup_features, unsup_features = extract_jointly(self.student, batches)
        sup = losses_from(self.student, sup_features, inputs["sup"], samples["sup"])
        sup = rename_loss_dict("sup_", reweight_loss_dict(sup, self.semi_train_cfg["sup_weight"]))
        unsup = losses_from(self.student, unsup_features, inputs["unsup_student"], strong)
        of_boxes = {name: loss for name, loss in unsup.items() if name.endswith("bbox")}
        unsup |= reweight_loss_dict(of_boxes, self.unsup_box_weight)
        scale = self.loss_limit.scale(_total(sup), _total(unsup))
        labels = sum(len(sample.gt_instances) for sample in strong)
        ignored = sum(len(sample.ignored_instances) for sample in strong)
        # Without a pseudo-label in the batch, the unlabeled images would teach only background.
        weight = self.current_weight() if labels else 0.0
        box_thresholds = self.thresholds.box_thresholds()
        kept = box_thresholds[np.isfinite(box_thresholds)]
        log = {
            "pseudo_per_image": labels / len(strong),
            "ignored_per_image": ignored / len(strong),
            "box_threshold": float(kept.mean()) if len(kept) else 1.0,
            "pixel_threshold": self.thresholds.pixel_threshold(),
            "unsup_weight": weight,
            "unsup_scale": scale,
        }
        return {
            **sup,
            **rename_loss_dict("unsup_", reweight_loss_dict(unsup, weight * scale)),
            **{name: torch.tensor(float(value)) for name, value in log.items()},
        }

    def current_weight(self) -> float:
        """Return the factor on the losses of unlabeled images in this iteration."""
        start = self.burn_in if self.teacher_checkpoint is None else 0
        done = (self.iteration or 0) - start + 1
        return self.unsup_weight * min(1.0, done / max(self.ramp, 1))

    def get_pseudo_instances(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> tuple[SampleList, None]:
        """Predict the weak views, and store labels and ignored boxes in the samples.

        The labels become ``pred_instances``, with the fields ``bboxes``, ``scores``, ``labels`` and
        ``soft_masks`` (shape (M, S, S), uint8; value / 255 is the probability). The ignored boxes
        become ``ignored_instances``. A box whose IoU with a label is 0.5 or more is not ignored,
        because ``MaxIoUAssigner`` would ignore the anchors and proposals at this label. The
        predictions are also counted for the thresholds.

        Args:
            batch_inputs: weak views, (N, 3, H, W).
            batch_data_samples: samples of the weak views.

        Returns:
            The samples, and None, because MMDetection's method returns two values.
        """
        scores = (self.thresholds.lowest_score, self.ignore_score)
        lowest = min(score for score in scores if score is not None)
        features, batch = predict_boxes(self.teacher, batch_inputs, batch_data_samples, lowest)
        self.thresholds.count_scores(batch)
        limits = torch.from_numpy(self.thresholds.box_thresholds()).to(batch_inputs.device)
        chosen = [found.scores.double() >= limits[found.labels] for found in batch]
        labels = [found[keep] for found, keep in zip(batch, chosen, strict=True)]
        least = float("inf") if self.ignore_score is None else self.ignore_score
        others = [
            found.bboxes[~keep & (found.scores >= least)]
            for found, keep in zip(batch, chosen, strict=True)
        ]
        labels = add_soft_masks(
            self.teacher, features, labels, batch_data_samples, self.mask_nms_iou
        )
        self.thresholds.count_pixels([soft_masks_and_boxes(found) for found in labels])
        for sample, found, boxes in zip(batch_data_samples, labels, others, strict=True):
            apart = (bbox_overlaps(boxes, found.bboxes) < 0.5).all(dim=1)
            sample.pred_instances = found
            sample.ignored_instances = InstanceData(bboxes=boxes[apart])
        return batch_data_samples, None

    @torch.no_grad()
    def project_pseudo_instances(
        self, batch_pseudo_instances: SampleList, batch_data_samples: SampleList
    ) -> SampleList:
        """Move pseudo-labels and ignored boxes from the weak views to the strong views.

        Args:
            batch_pseudo_instances: samples of the weak views, with ``pred_instances`` and
                ``ignored_instances``.
            batch_data_samples: samples of the strong views of the same images.

        Returns:
            The samples of the strong views. Their ``gt_instances`` are the moved pseudo-labels with
            masks; their ``ignored_instances`` are the moved ignored boxes.

        Raises:
            ValueError: a strong view is rotated or warped relative to its weak view.
        """
        pixel_threshold = self.thresholds.pixel_threshold()
        for weak, strong in zip(batch_pseudo_instances, batch_data_samples, strict=True):
            motion = Motion.between(weak, strong)
            strong.gt_instances = move_instances(
                weak.pred_instances, motion, strong.img_shape, pixel_threshold, self.min_size
            )
            strong.ignored_instances = InstanceData(
                bboxes=move_boxes(
                    weak.ignored_instances.bboxes, motion, strong.img_shape, self.min_size
                )
            )
        return batch_data_samples

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load a checkpoint of this class, or copy a detector's weights to student and teacher."""
        spread_plain_checkpoint(self, state_dict, prefix, ("student", "teacher"))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _total(losses: dict[str, Any]) -> float:
    parts = [value for name, value in losses.items() if "loss" in name]
    flat = [v for part in parts for v in (part if isinstance(part, (list, tuple)) else [part])]
    return float(sum(value.detach().mean() for value in flat))
