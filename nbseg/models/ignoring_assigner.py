"""Define an assigner that ignores a box in an ignored region, unless the box matches an object."""

from typing import Any

from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmengine.structures import InstanceData

from nbseg.registry import TASK_UTILS


@TASK_UTILS.register_module()
class IgnoringMaxIoUAssigner(MaxIoUAssigner):
    """Assigns boxes like ``MaxIoUAssigner``, but treats ignored regions differently.

    A box in an ignored region is ignored if it would otherwise be background. If the box matches
    an object, it stays positive.

    ``MaxIoUAssigner`` has two faults if there are ignored regions:

    - In an image without objects, ``MaxIoUAssigner`` ignores no box. Every box is background.
    - In an image with objects, ``MaxIoUAssigner`` ignores every box in an ignored region. An object
      in the region then has no positive box.

    Args:
        **kwargs: arguments of ``MaxIoUAssigner``. ``ignore_iof_thr`` must be above 0. In
            ``MaxIoUAssigner``, other values mean that no box is ignored.

    Raises:
        ValueError: ``ignore_iof_thr`` is not above 0.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.ignore_iof_thr <= 0:
            raise ValueError(
                "IgnoringMaxIoUAssigner: ignore_iof_thr must be above 0, found "
                f"{self.ignore_iof_thr}; set ignore_iof_thr=0.5, for example"
            )

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Assign each box to an object or to the background, or ignore the box.

        Args:
            pred_instances: anchors or proposals, with their boxes as ``priors``, shape (N, 4).
            gt_instances: objects, with ``bboxes`` and ``labels``.
            gt_instances_ignore: ignored regions, with ``bboxes``. A background box is ignored if
                more than the fraction ``ignore_iof_thr`` of its area lies in one region.
            **kwargs: unused.

        Returns:
            A result with one entry of ``gt_inds`` per box: 1 + the object's index, 0 for
            background, or -1 for an ignored box.
        """
        result = super().assign(pred_instances, gt_instances, None, **kwargs)
        regions = None if gt_instances_ignore is None else gt_instances_ignore.bboxes
        if regions is not None and len(regions) and result.num_preds:
            inside = self.iou_calculator(pred_instances.priors, regions, mode="iof").amax(dim=1)
            result.gt_inds[(result.gt_inds == 0) & (inside > self.ignore_iof_thr)] = -1
        return result
