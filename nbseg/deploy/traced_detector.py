"""Wrap a two-stage detector as one module that ``torch.export`` can trace.

    images (B, 3, H, W) uint8 ─ normalize, pad ─ backbone, neck ─ RPN: top P boxes ─ box head, NMS
        ─► boxes (B, K, 4), scores (B, K), labels (B, K), soft masks (B, K, S, S), counts (B,)

MMDetection predicts image by image on lists whose lengths depend on the data. This module runs the
same steps on a whole batch. The number of proposals P and the number of detections K per image are
fixed; unused slots are zero.
"""

from typing import Any

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from nbseg.deploy.batched_boxes import (
    NO_SCORE,
    as_rois,
    clip,
    deltas_by_class,
    priors_at,
    suppress,
    take,
)
from nbseg.deploy.onnx_ops import multilevel_roi_align


class TracedRoIExtractor(nn.Module):
    """Replaces ``SingleRoIExtractor`` by operations whose sizes do not depend on the data."""

    def __init__(self, extractor: SingleRoIExtractor) -> None:
        super().__init__()
        self.extractor = extractor
        self.num_inputs = extractor.num_inputs

    def forward(self, features: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Return RoI features (R, C, S, S) with the dtype of the feature maps.

        Args:
            features: feature maps (B, C, H_l, W_l), one per level.
            rois: (R, 5) float32: image index, x0, y0, x1, y1.
        """
        layers = self.extractor.roi_layers
        pooled: Tensor = multilevel_roi_align(
            # RoIAlign needs features and RoIs of one dtype. float16 is too coarse for RoIs: a
            # coordinate near 1333 would be rounded by up to half a pixel.
            [feature.float() for feature in features],
            rois,
            self.extractor.map_roi_levels(rois, len(features)),
            list(layers[0].output_size),
            [layer.spatial_scale for layer in layers],
            layers[0].sampling_ratio,
            layers[0].aligned,
        )
        return pooled.to(features[0].dtype)


class TracedDetector(nn.Module):
    """Predicts a batch of images of one size with a two-stage detector that has a mask head.

    Boxes are in pixels of the input images. NMS and the mask head get the same boxes as in
    MMDetection's ``predict``. The RoI extractors of the given detector are replaced in place.

    Args:
        detector: detector in evaluation mode that
            ``nbseg.deploy.export_checks.check_exportable`` accepts.
        max_detections: largest number of detections per image; default: ``max_per_img`` of the RoI
            head's ``test_cfg``.
        score_threshold: only detections with a score above this threshold are returned; default:
            ``score_thr`` of the RoI head's ``test_cfg``.

    Raises:
        ValueError: ``max_detections`` is less than 1, or ``score_threshold`` is not in [0, 1).
    """

    def __init__(
        self,
        detector: TwoStageDetector,
        max_detections: int | None = None,
        score_threshold: float | None = None,
    ) -> None:
        super().__init__()
        roi_head: Any = detector.roi_head
        for name in ("bbox_roi_extractor", "mask_roi_extractor"):
            extractor = getattr(roi_head, name)
            if isinstance(extractor, nn.ModuleList):
                setattr(roi_head, name, nn.ModuleList(map(TracedRoIExtractor, extractor)))
            else:
                setattr(roi_head, name, TracedRoIExtractor(extractor))
        self.detector = detector
        self.cascade = isinstance(roi_head, CascadeRoIHead)
        test_cfg = roi_head.test_cfg
        self.max_detections: int = (
            test_cfg.max_per_img if max_detections is None else max_detections
        )
        self.score_threshold: float = (
            test_cfg.score_thr if score_threshold is None else score_threshold
        )
        if self.max_detections < 1:
            raise ValueError(f"max_detections must be at least 1, found {self.max_detections}")
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"score_threshold must be in [0, 1), found {self.score_threshold}")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return boxes, scores, labels, soft masks and the number of detections of each image.

        Args:
            images: (B, 3, H, W) uint8, channels in BGR order.

        Returns:
            Five tensors. In the first four, the slots after an image's count are zero.

            - boxes: (B, K, 4) float32, x0, y0, x1, y1
            - scores: (B, K) float32, descending
            - labels: (B, K) int64
            - masks: (B, K, S, S) float32, probabilities within the box
            - counts: (B,) int64
        """
        height, width = images.shape[-2:]
        features = self.detector.extract_feat(self.preprocess(images))
        proposals, proposed = self._propose(features, height, width)
        boxes, scores, labels = self._detect(features, proposals, proposed, height, width)
        present = scores > NO_SCORE
        masks = self._soft_masks(features, boxes, labels, present)
        return (
            boxes * present[..., None],
            scores * present,
            labels * present,
            masks,
            present.sum(1),
        )

    def preprocess(self, images: Tensor) -> Tensor:
        """Normalize and pad images as ``DetDataPreprocessor`` does."""
        preprocessor = self.detector.data_preprocessor
        pixels = images.float()
        if preprocessor._channel_conversion:
            pixels = pixels.flip(1)
        if preprocessor._enable_normalize:
            pixels = (pixels - preprocessor.mean) / preprocessor.std
        height, width = images.shape[-2:]
        divisor = preprocessor.pad_size_divisor
        # torch.export simplifies sizes that are written as multiples faster than it simplifies
        # ``-height % divisor``.
        padded_height = (height + divisor - 1) // divisor * divisor
        padded_width = (width + divisor - 1) // divisor * divisor
        padding = (0, padded_width - width, 0, padded_height - height)
        pixels = nn.functional.pad(pixels, padding, value=preprocessor.pad_value)
        return pixels.to(next(self.detector.backbone.parameters()).dtype)

    def _propose(
        self, features: tuple[Tensor, ...], height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """Return proposals and which slots hold one, in descending order of score.

        Returns:
            - boxes (x0, y0, x1, y1), shape (B, P, 4), float32; zero in empty slots
            - a bool tensor, shape (B, P); True if the slot holds a proposal
        """
        head = self.detector.rpn_head
        cfg = head.test_cfg
        scores_of_levels, priors_of_levels, deltas_of_levels = [], [], []
        for level, (logits, deltas) in enumerate(zip(*head(features), strict=True)):
            batch, _, _, columns = logits.shape
            logits = logits.float().permute(0, 2, 3, 1).reshape(batch, -1, head.cls_out_channels)
            deltas = deltas.float().permute(0, 2, 3, 1).reshape(batch, -1, 4)
            if head.use_sigmoid_cls:
                scores = logits.sigmoid()[..., 0]
            else:
                scores = logits.softmax(-1)[..., 0]
            # Pad the scores, because a small level may have fewer than nms_pre anchors.
            scores = nn.functional.pad(scores, (0, cfg.nms_pre), value=NO_SCORE)
            scores, chosen = scores.topk(cfg.nms_pre)
            chosen = chosen.clamp(max=deltas.shape[1] - 1)
            scores_of_levels.append(scores)
            deltas_of_levels.append(take(deltas, chosen))
            priors_of_levels.append(priors_at(head.prior_generator, level, chosen, columns))
        # Decode all levels at once: a graph with fewer nodes is exported in less time.
        scores, priors, deltas = (
            torch.cat(values, 1)
            for values in (scores_of_levels, priors_of_levels, deltas_of_levels)
        )
        boxes = head.bbox_coder.decode(priors.flatten(0, 1), deltas.flatten(0, 1)).view_as(deltas)
        if head.bbox_coder.clip_border:
            boxes = clip(boxes, height, width)
        if cfg.get("min_bbox_size", -1) >= 0:
            large = (boxes[..., 2:] - boxes[..., :2] > cfg.min_bbox_size).all(-1)
            scores = torch.where(large, scores, NO_SCORE)
        level_ids = torch.arange(len(scores_of_levels), device=boxes.device)
        level_ids = level_ids.repeat_interleave(cfg.nms_pre)
        _, present, chosen = suppress(boxes, scores, level_ids, cfg.nms, 0.0, cfg.max_per_img)
        return take(boxes, chosen) * present[..., None], present

    def _detect(
        self,
        features: tuple[Tensor, ...],
        proposals: Tensor,
        proposed: Tensor,
        height: int,
        width: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (B, K, 4), scores (B, K) and labels (B, K) in descending order of score.

        An empty slot has the score ``NO_SCORE`` (-1).

        Args:
            features: feature maps (B, C, H_l, W_l), one per level.
            proposals: shape (B, P, 4).
            proposed: shape (B, P), bool; True if the slot holds a proposal.
            height: height of the input images in pixels.
            width: width of the input images in pixels.
        """
        roi_head = self.detector.roi_head
        batch, count = proposals.shape[:2]
        rois = as_rois(proposals)
        if self.cascade:
            logits_of_stages = []
            for stage, head in enumerate(roi_head.bbox_head):
                results = roi_head._bbox_forward(stage, features, rois)
                logits, deltas = results["cls_score"].float(), results["bbox_pred"].float()
                logits_of_stages.append(logits)
                if stage < roi_head.num_stages - 1:
                    best_class = logits[:, :-1].argmax(1, keepdim=True)
                    chosen = deltas_by_class(head, deltas)
                    chosen = chosen.gather(1, best_class[..., None].expand(-1, -1, 4))
                    refined = head.bbox_coder.decode(rois[:, 1:], chosen[:, 0])
                    if head.bbox_coder.clip_border:
                        refined = clip(refined, height, width)
                    rois = torch.cat([rois[:, :1], refined], 1)
            logits = sum(logits_of_stages) / float(len(logits_of_stages))
        else:
            head = roi_head.bbox_head
            results = roi_head._bbox_forward(features, rois)
            logits, deltas = results["cls_score"].float(), results["bbox_pred"].float()
        classes = head.num_classes
        boxes = head.bbox_coder.decode(
            rois[:, None, 1:].expand(-1, classes, -1).flatten(0, 1),
            deltas_by_class(head, deltas).flatten(0, 1),
        ).view(batch, count * classes, 4)
        if head.bbox_coder.clip_border:
            boxes = clip(boxes, height, width)
        scores = logits.softmax(-1)[:, :-1].view(batch, count, classes)
        scores = torch.where(proposed[..., None], scores, NO_SCORE).flatten(1)
        labels = torch.arange(classes, device=boxes.device).repeat(count)
        scores, present, chosen = suppress(
            boxes,
            scores,
            labels,
            roi_head.test_cfg.nms,
            self.score_threshold,
            self.max_detections,
        )
        return take(boxes, chosen), scores, labels[chosen]

    def _soft_masks(
        self, features: tuple[Tensor, ...], boxes: Tensor, labels: Tensor, present: Tensor
    ) -> Tensor:
        """Return mask probabilities (B, K, S, S); slots without a detection are zero."""
        roi_head = self.detector.roi_head
        used = present.flatten()
        # Keep at least one RoI: some runtimes fail on empty convolution inputs.
        used = used | (torch.arange(used.shape[0], device=used.device) == 0)
        index = used.nonzero()[:, 0]
        # Tell torch.export that the index is not empty, because it cannot derive this fact.
        torch._check(index.shape[0] > 0)  # type: ignore[no-untyped-call]
        rois = as_rois(boxes)[index]
        if self.cascade:
            logits = [
                roi_head._mask_forward(stage, features, rois)["mask_preds"]
                for stage in range(roi_head.num_stages)
            ]
            head = roi_head.mask_head[-1]
            masks = sum(level.float().sigmoid() for level in logits) / len(logits)
        else:
            head = roi_head.mask_head
            masks = roi_head._mask_forward(features, rois)["mask_preds"].float().sigmoid()
        if head.class_agnostic:
            masks = masks[:, 0]
        else:
            side = masks.shape[-1]
            by_class = labels.flatten()[index][:, None, None, None].expand(-1, 1, side, side)
            masks = masks.gather(1, by_class)[:, 0]
        masks = masks * present.flatten()[index][:, None, None]
        padded: Tensor = masks.new_zeros(used.shape[0], *masks.shape[1:])
        padded = padded.index_put((index,), masks)
        return padded.view(*present.shape, *masks.shape[1:])
