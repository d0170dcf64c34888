"""Train on pseudo-labels with a separate loss weight (STAC) or mask head (dual-branch)."""

from typing import Any

from nbseg.registry import MODELS
from nbseg.semi.joint_batch import losses_from
from nbseg.semi.joint_student import Branch, JointStudent
from nbseg.semi.proposals import require_standard_roi_head


@MODELS.register_module()
class PseudoLabelStudent(JointStudent):
    """Trains on labeled and pseudo-labeled images; ``unsup_weight`` scales the pseudo-label losses.

    With an ``unsup_weight`` of 2 and pseudo-labels of high scores only, this is STAC (Sohn et al.,
    2020). The arguments are those of the base class ``JointStudent``. In the input, the branch
    ``pseudo`` has the pseudo-labeled images.
    """

    branch = "pseudo"

    def other_losses(self, labeled: Branch, other: Branch) -> dict[str, Any]:
        """Return a dict of the student's losses on the pseudo-labeled images.

        Args:
            labeled: labeled images; not used.
            other: pseudo-labeled images.
        """
        return losses_from(self.student, *other)


@MODELS.register_module()
class DualBranchStudent(PseudoLabelStudent):
    """Trains one mask head on the labels, and another mask head on the pseudo-labels.

    This is the dual-branch network (Luo and Yang, ECCV 2020) for detectors with a mask head. All
    other parts of the detector are shared. The mask head of the pseudo-labels is not part of the
    trained detector.

    Args:
        detector: config of the student, which is the detector to train.
        **kwargs: other arguments of the base class ``JointStudent``.

    Raises:
        TypeError: the RoI head is not a ``StandardRoIHead``.
    """

    def __init__(self, detector: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(detector, **kwargs)
        require_standard_roi_head(self.student, type(self).__name__)
        self.pseudo_mask_head = MODELS.build(detector["roi_head"]["mask_head"])

    def other_losses(self, labeled: Branch, other: Branch) -> dict[str, Any]:
        """Return a dict of the losses on the pseudo-labeled images, with a separate mask head.

        Args:
            labeled: labeled images; not used.
            other: pseudo-labeled images.
        """
        roi_head = self.student.roi_head
        published = roi_head.mask_head
        roi_head.mask_head = self.pseudo_mask_head
        try:
            return super().other_losses(labeled, other)
        finally:
            roi_head.mask_head = published
