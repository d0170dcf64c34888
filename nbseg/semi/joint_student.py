"""Define the base class of methods that train one detector on labeled and unlabeled images."""

from typing import Any, NamedTuple

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.models.utils import rename_loss_dict, reweight_loss_dict
from mmdet.structures import SampleList
from mmengine.logging import MessageHub
from torch import Tensor

from nbseg.registry import MODELS
from nbseg.semi.joint_batch import extract_jointly, losses_from
from nbseg.semi.plain_checkpoint import spread_plain_checkpoint


class Branch(NamedTuple):
    """Holds the images of a batch that are of one kind, for example the unlabeled images."""

    features: tuple[Tensor, ...]  # the student's feature maps
    inputs: Tensor  # images, (N, 3, H, W)
    samples: SampleList  # the sample of each image


class JointStudent(BaseDetector):
    """Trains a detector, the student, on labeled and other images in the same batch.

    The other images are unlabeled or pseudo-labeled. The loss is the student's loss on the labeled
    images plus ``current_weight()`` times the losses that a subclass defines in ``other_losses``.

    At the end of the training, only the weights of the submodule ``student`` are kept as the
    trained detector. A subclass must therefore not put modules that are used only in training into
    ``student``.

    The inputs come from MMDetection's ``MultiBranchDataPreprocessor`` and have two branches:
    ``sup`` (labeled images) and the branch whose name is the subclass's attribute ``branch``.

    Args:
        detector: config of the student.
        data_preprocessor: config of a ``MultiBranchDataPreprocessor``.
        unsup_weight: factor on the losses of ``other_losses``.
        ramp: number of iterations during which this factor grows linearly to ``unsup_weight``;
            with 0, the factor is constant.
        init_cfg: MMEngine's config of the initial weights.
    """

    branch = "unsup"

    def __init__(
        self,
        detector: dict[str, Any],
        data_preprocessor: dict[str, Any] | None = None,
        unsup_weight: float = 1.0,
        ramp: int = 0,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.student = MODELS.build(detector)
        self.unsup_weight = unsup_weight
        self.ramp = ramp

    def other_losses(self, labeled: Branch, other: Branch) -> dict[str, Any]:
        """Return a dict of the losses that are added to the student's losses on labeled images.

        Args:
            labeled: labeled images, for methods that also use labeled images in these losses.
            other: unlabeled or pseudo-labeled images.
        """
        raise NotImplementedError

    def loss(
        self,
        multi_batch_inputs: dict[str, Tensor],
        multi_batch_data_samples: dict[str, SampleList],
    ) -> dict[str, Any]:
        """Return a dict with the losses, and with the value ``unsup_weight`` for the log.

        The names of the losses on labeled images start with ``sup_``. The names of the losses of
        ``other_losses`` start with ``unsup_``. The value ``unsup_weight`` is the factor on the
        losses of ``other_losses``.

        Args:
            multi_batch_inputs: images of each branch, (N, 3, H, W).
            multi_batch_data_samples: samples of each branch.
        """
        names = ("sup", self.branch)
        inputs = [multi_batch_inputs[name] for name in names]
        samples = [multi_batch_data_samples[name] for name in names]
        labeled, other = map(Branch, extract_jointly(self.student, inputs), inputs, samples)
        weight = self.current_weight()
        sup = losses_from(self.student, *labeled)
        unsup = reweight_loss_dict(self.other_losses(labeled, other), weight)
        return {
            **rename_loss_dict("sup_", sup),
            **rename_loss_dict("unsup_", unsup),
            "unsup_weight": torch.tensor(weight),
        }

    def current_weight(self) -> float:
        """Return the factor on the losses of ``other_losses`` in this iteration."""
        iteration: int = MessageHub.get_current_instance().get_info("iter", 0)
        return self.unsup_weight * min(1.0, (iteration + 1) / max(self.ramp, 1))

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> Any:
        """Return the student's predictions."""
        return self.student.predict(batch_inputs, batch_data_samples)

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Return the student's feature maps."""
        return self.student.extract_feat(batch_inputs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> Any:
        return self.student._forward(batch_inputs, batch_data_samples)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load a checkpoint of this class, or copy a plain detector's weights to the student."""
        spread_plain_checkpoint(self, state_dict, prefix, ("student",))
        super()._load_from_state_dict(state_dict, prefix, *args)
