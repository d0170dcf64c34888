"""Predict instances from several views of an image: merge the boxes, and average the masks."""

from functools import reduce
from typing import Any

import torch
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample, SampleList
from mmdet.structures.bbox import bbox2roi, bbox_flip, bbox_overlaps
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from nbseg.models.soft_masks import predict_soft_masks, require_soft_masks
from nbseg.ops import paste_rle
from nbseg.registry import MODELS

# For each flip direction of MMDetection, the dimensions of soft masks (N, S, S) to reverse.
FLIPPED_DIMS = {"horizontal": (-1,), "vertical": (-2,), "diagonal": (-2, -1)}


@MODELS.register_module()
class MaskTTAModel(DetTTAModel):
    """Predicts instances from several views (scales, flips) of each image, in two passes.

    The first pass predicts boxes:

    1. The model predicts boxes in every view. The boxes are mapped back to the image.
    2. NMS chooses among the boxes of all views, as in MMDetection's ``DetTTAModel``.
    3. Each view contributes at most one box to a chosen box. Candidates are the view's boxes of the
       same class whose IoU with the chosen box is at least NMS's threshold. The candidate with the
       highest score is contributed.
    4. The mean of the contributed boxes, weighted by their scores, replaces the chosen box. The new
       score is the sum of the scores of the contributed boxes, divided by the number of all views.

    Steps 3 and 4 are weighted boxes fusion (Solovyev et al., 2021). NMS alone would keep the
    mistakes of the most confident view.

    The second pass predicts a soft mask (a grid of probabilities) for each merged box in every
    view. The soft masks are flipped back and averaged, as the Noisy Boundaries paper (arXiv
    2203.13427) does to make pseudo-labels.

    Predictions have ``bboxes``, ``scores``, ``labels``, ``soft_masks`` and ``masks``. Soft masks
    have the shape (N, S, S) and values in [0, 1]. ``masks`` are COCO RLEs of the image's size, made
    by thresholding the soft masks at the detector's ``mask_thr_binary``.

    Args:
        module: a two-stage detector with a mask head, or its config.
        tta_cfg: a dict with ``nms``, the config of the NMS in step 2, and ``max_per_img``, the
            largest number of merged boxes per image.
        feature_budget: limit in bytes on the feature maps that the first pass keeps in memory for
            the second pass. The second pass recomputes the feature maps that were not kept.

    Raises:
        TypeError: ``module`` is not a two-stage detector, or its RoI head is of an unsupported type
            or has no mask head.
    """

    def __init__(
        self, *args: Any, feature_budget: int = 1 << 30, tta_cfg: dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(*args, tta_cfg=ConfigDict(tta_cfg), **kwargs)
        self.feature_budget = feature_budget
        require_soft_masks(self.module, "MaskTTAModel")

    def test_step(self, data: dict[str, Any]) -> SampleList:
        """Predict a batch of images, and return one sample per image with the merged predictions.

        Args:
            data: a batch that ``TestTimeAug`` and ``pseudo_collate`` made. The values of its keys
                ``inputs`` and ``data_samples`` are lists with one entry per view. Each entry is a
                list with one tensor or one sample per image.

        Returns:
            One sample per image, whose ``pred_instances`` have ``bboxes``, ``scores``, ``labels``,
            ``soft_masks`` and ``masks``.
        """
        views = [
            {"inputs": inputs, "data_samples": samples}
            for inputs, samples in zip(data["inputs"], data["data_samples"], strict=True)
        ]
        features: list[tuple[Tensor, ...] | None] = []
        boxes_of_views = []
        budget = self.feature_budget
        for view in views:
            view_features, samples = self._extract(view)
            boxes_of_views.append(self._predict_boxes(view_features, samples))
            size = sum(level.numel() * level.element_size() for level in view_features)
            keep = size <= budget
            budget -= size if keep else 0
            features.append(view_features if keep else None)
            del view_features

        merged = self.merge_preds(
            [list(views_of_one) for views_of_one in zip(*boxes_of_views, strict=True)]
        )
        boxes = [sample.pred_instances.bboxes for sample in merged]
        labels = torch.cat([sample.pred_instances.labels for sample in merged])
        soft_masks_of_views = (
            self._predict_soft_masks(
                kept if kept is not None else self._extract(view)[0],
                view["data_samples"],
                boxes,
                labels,
            )
            for view, kept in zip(views, features, strict=True)
        )
        mean = reduce(torch.add, soft_masks_of_views) / len(views)
        soft_masks_of_images = torch.split(mean, [len(b) for b in boxes])
        threshold = float(self.module.roi_head.test_cfg.mask_thr_binary)
        for sample, soft_masks in zip(merged, soft_masks_of_images, strict=True):
            instances = sample.pred_instances
            instances.soft_masks = soft_masks
            height, width = sample.ori_shape[:2]
            instances.masks = paste_rle(
                soft_masks.float().cpu().numpy(),
                instances.bboxes.float().cpu().numpy(),
                height,
                width,
                threshold,
            )
        return merged

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        """Return a sample with the merged boxes of one image; ``DetTTAModel`` calls this method.

        Args:
            data_samples: one sample per view of the image, with the predicted boxes.
        """
        boxes_of_views = [
            bbox_flip(view.pred_instances.bboxes, view.ori_shape, view.flip_direction)
            if view.flip
            else view.pred_instances.bboxes
            for view in data_samples
        ]
        instances_of_views = [view.pred_instances for view in data_samples]
        merged = super()._merge_single_sample(data_samples)
        chosen = merged.pred_instances
        if len(chosen.bboxes) == 0:
            return merged
        boxes, scores = [], []
        for view_boxes, instances in zip(boxes_of_views, instances_of_views, strict=True):
            if len(view_boxes) == 0:
                boxes.append(torch.zeros_like(chosen.bboxes))
                scores.append(torch.zeros_like(chosen.scores))
                continue
            same = bbox_overlaps(chosen.bboxes, view_boxes) >= self.tta_cfg.nms.iou_threshold
            same &= chosen.labels[:, None] == instances.labels
            view_scores, best = torch.where(same, instances.scores, 0.0).max(dim=1)
            boxes.append(view_boxes[best])
            scores.append(view_scores)
        total = torch.stack(scores).sum(0)
        # A box without area does not even overlap itself, so its total score is 0.
        weights = torch.stack(scores) / total.clamp(min=torch.finfo(total.dtype).tiny)
        fused = (weights[:, :, None] * torch.stack(boxes)).sum(0)
        fused = torch.where(total[:, None] > 0, fused, chosen.bboxes)
        mean_scores, order = (total / len(scores)).sort(descending=True, stable=True)
        merged.pred_instances = InstanceData(
            bboxes=fused[order], scores=mean_scores, labels=chosen.labels[order]
        )
        return merged

    def _extract(self, view: dict[str, Any]) -> tuple[tuple[Tensor, ...], SampleList]:
        processed = self.module.data_preprocessor(dict(view), training=False)
        return self.module.extract_feat(processed["inputs"]), processed["data_samples"]

    def _predict_boxes(self, features: tuple[Tensor, ...], samples: SampleList) -> SampleList:
        """Predict the boxes in one view of each image, and return the samples with these boxes.

        The boxes become the ``pred_instances`` of the samples. They are in pixels of the original
        image, but they are not flipped back.

        Args:
            features: feature maps of the view.
            samples: sample of each image in this view.
        """
        proposals = self.module.rpn_head.predict(features, samples, rescale=False)
        roi_head = self.module.roi_head
        results = roi_head.predict_bbox(
            features,
            [sample.metainfo for sample in samples],
            proposals,
            roi_head.test_cfg,
            rescale=True,
        )
        for sample, instances in zip(samples, results, strict=True):
            sample.pred_instances = instances
        return samples

    def _predict_soft_masks(
        self,
        features: tuple[Tensor, ...],
        samples: SampleList,
        boxes: list[Tensor],
        labels: Tensor,
    ) -> Tensor:
        """Return the soft masks that one view gives for the merged boxes, flipped back.

        Args:
            features: feature maps of the view.
            samples: sample of each image in this view.
            boxes: merged boxes of each image, in pixels of the original image.
            labels: class of each of the N boxes of all images, shape (N,), int64.

        Returns:
            Probabilities, shape (N, S, S).
        """
        boxes_in_view = []
        for image_boxes, sample in zip(boxes, samples, strict=True):
            scale = image_boxes.new_tensor(sample.scale_factor).repeat(2)
            view_boxes = image_boxes * scale
            if sample.flip:
                view_boxes = bbox_flip(view_boxes, sample.img_shape, sample.flip_direction)
            boxes_in_view.append(view_boxes)
        soft_masks = predict_soft_masks(
            self.module.roi_head, features, bbox2roi(boxes_in_view), labels
        )
        upright = [
            image_masks.flip(FLIPPED_DIMS[sample.flip_direction]) if sample.flip else image_masks
            for image_masks, sample in zip(
                torch.split(soft_masks, [len(b) for b in boxes]), samples, strict=True
            )
        ]
        return torch.cat(upright)
