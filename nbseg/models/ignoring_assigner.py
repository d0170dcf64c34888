"""Ignore regions without hiding the objects in them, also in images without an object."""

from typing import Any

from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmengine.structures import InstanceData

from nbseg.registry import TASK_UTILS


@TASK_UTILS.register_module()
class IgnoringMaxIoUAssigner(MaxIoUAssigner):
    """Keeps ignored regions out of the background, and every object that lies in a region.

    ``MaxIoUAssigner`` ignores nothing in an image without objects: the whole image is background.
    In other images, it ignores all boxes in a region, so that an object there has no positive box.

    Args:
        **kwargs: arguments of ``MaxIoUAssigner``. ``ignore_iof_thr`` must be above 0, because
            ``MaxIoUAssigner`` ignores nothing otherwise.

    Raises:
        ValueError: ``ignore_iof_thr`` is not above 0.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.ignore_iof_thr <= 0:
            raise ValueError(
                "IgnoringMaxIoUAssigner: ignore_iof_thr must be above 0, found "
                f"{self.ignore_iof_thr}; set it to 0.5"
            )

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Return the object of each box: its number from 1, 0 for background, -1 to ignore it.

        Args:
            pred_instances: boxes ``priors``, shape (N, 4).
            gt_instances: objects with ``bboxes`` and ``labels``.
            gt_instances_ignore: regions with ``bboxes``; a box that belongs to no object is
                ignored if more than the share ``ignore_iof_thr`` of its area lies in one of them.
            **kwargs: unused.
        """
        result = super().assign(pred_instances, gt_instances, None, **kwargs)
        regions = None if gt_instances_ignore is None else gt_instances_ignore.bboxes
        if regions is not None and len(regions) and result.num_preds:
            inside = self.iou_calculator(pred_instances.priors, regions, mode="iof").amax(dim=1)
            result.gt_inds[(result.gt_inds == 0) & (inside > self.ignore_iof_thr)] = -1
        return result
