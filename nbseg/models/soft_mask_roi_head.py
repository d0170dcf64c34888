"""Define the base class of RoI heads that predict one soft mask per box."""

from typing import Any

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from torch import Tensor


class SoftMaskRoIHead(StandardRoIHead):
    """Predicts one soft mask (a grid of probabilities) per box, for the box's class.

    ``StandardRoIHead`` instead predicts a mask for every class, and then keeps the mask of the
    box's class.

    A subclass implements ``predict_soft_masks``. ``predict_mask`` and ``MaskTTAModel`` call
    ``predict_soft_masks``.
    """

    def predict_soft_masks(self, x: tuple[Tensor, ...], rois: Tensor, labels: Tensor) -> Tensor:
        """Return the soft mask of each box's class: shape (N, S, S), floating-point, in [0, 1].

        Args:
            x: feature maps of the batch.
            rois: the image's index in the batch and the box, (i, x0, y0, x1, y1), shape (N, 5),
                sorted by image. Boxes are in pixels of the network's input.
            labels: class of each box, shape (N,), int64.
        """
        raise NotImplementedError

    def predict_mask(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict[str, Any]],
        results_list: InstanceList,
        rescale: bool = False,
    ) -> InstanceList:
        """Add ``masks`` to the results of each image, and return the results.

        Arguments and result are those of ``StandardRoIHead.predict_mask``.
        """
        rois = bbox2roi([results.bboxes for results in results_list])
        if len(rois) == 0:
            return super().predict_mask(x, batch_img_metas, results_list, rescale)
        labels = torch.cat([results.labels for results in results_list])
        soft_masks = self.predict_soft_masks(x, rois, labels)[:, None]
        return self.mask_head.predict_by_feat(
            mask_preds=torch.split(soft_masks, [len(results) for results in results_list]),
            results_list=results_list,
            batch_img_metas=batch_img_metas,
            rcnn_test_cfg=self.test_cfg,
            rescale=rescale,
            activate_map=True,
        )
