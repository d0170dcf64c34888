"""Compute COCO AP of boxes, masks and boundaries; values are not rounded."""

from collections.abc import Sequence
from typing import Any

from faster_coco_eval import COCO, COCOeval_faster
from mmdet.evaluation import CocoMetric
from mmengine.logging import MMLogger

from nbseg.coco import category_ids, index_coco, read_coco
from nbseg.coco_values import area_of, has_mask
from nbseg.evaluation.boundary import BoundaryEvaluation, check_dilation_ratio
from nbseg.registry import METRICS

# These options of CocoMetric would have no effect here.
WITHOUT_EFFECT = {"iou_thrs", "metric_items", "proposal_nums", "use_mp_eval"}
# Index of each value in COCOeval's summary.
SUMMARY = {"mAP": 0, "mAP_50": 1, "mAP_75": 2, "mAP_s": 3, "mAP_m": 4, "mAP_l": 5}


@METRICS.register_module()
class InstanceMetric(CocoMetric):
    """Computes COCO AP of boxes (``bbox``), masks (``segm``) and boundaries (``boundary``).

    The metric differs from ``CocoMetric``:

    - Values are not rounded.
    - ``max_detections`` sets how many detections of each class count in an image. In ``CocoMetric``
      this number is always 100.
    - Boundary AP is available (Cheng et al., 2021; see ``nbseg.evaluation.boundary``).
    - Categories are found by name. Their order does not matter.
    - In the ground truth, ids, sizes and flags may have other types than in COCO, such as strings
      (see ``nbseg.coco_values.normalize``).
    - An annotation may have the id 0. COCO's evaluation would mistake this id for "no match".

    As for ``CocoMetric``, predicted masks may be bitmaps or COCO RLEs.

    Args:
        ann_file: COCO json with the ground truth.
        metric: one or more of ``bbox``, ``segm``, ``boundary``.
        max_detections: number of detections that count per image and class. Those with the highest
            scores count.
        boundary_dilation_ratio: boundary width as a fraction of the image diagonal; 0.02 for COCO,
            0.005 for Cityscapes.
        classwise: whether to report ``{metric}_mAP/{class}``, too.
        **kwargs: arguments of ``CocoMetric``, such as ``prefix`` and ``outfile_prefix``.

    Values are fractions in [0, 1]. A value is -1 if the ground truth has no instance that counts
    for this value. If the model predicts no instances at all, every value is 0.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        ValueError: ``metric``, ``max_detections`` or ``boundary_dilation_ratio`` is invalid,
            ``kwargs`` has an option of ``CocoMetric`` that has no effect here, or ``ann_file`` is
            not a COCO json or lacks masks that the metric needs. If ``ann_file`` lacks a class,
            setting ``dataset_meta`` raises the error. If predictions lack masks, or if a mask and
            its image differ in size, the evaluation raises the error.
    """

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = ("bbox", "segm"),
        max_detections: int = 100,
        boundary_dilation_ratio: float = 0.02,
        classwise: bool = False,
        **kwargs: Any,
    ) -> None:
        metrics = [metric] if isinstance(metric, str) else list(metric)
        unknown = sorted(set(metrics) - {"bbox", "segm", "boundary"})
        if unknown:
            raise ValueError(
                "InstanceMetric: metric must be one or more of bbox, segm and boundary, found "
                f"{unknown}"
            )
        if max_detections < 1:
            raise ValueError(f"InstanceMetric: max_detections must be >= 1, found {max_detections}")
        check_dilation_ratio(boundary_dilation_ratio)
        if without_effect := sorted(WITHOUT_EFFECT & set(kwargs)):
            raise ValueError(
                f"InstanceMetric does not use the CocoMetric options {without_effect}; remove them"
            )
        super().__init__(metric="segm", classwise=classwise, **kwargs)
        # Index the normalized json. MMDetection would index the raw one and fail on odd types.
        self._coco_api = index_coco(read_coco(ann_file, consistent=False), ann_file)
        self.metrics = metrics
        self.ann_file = ann_file
        self.max_detections = max_detections
        self.boundary_dilation_ratio = boundary_dilation_ratio
        # Check now, so that a training does not fail at its end.
        if metrics != ["bbox"]:
            self._check_masks()

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """Return the data set's meta information; entry i of ``classes`` is the name of label i.

        The value is None until a runner sets it.
        """
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict[str, Any]) -> None:
        # A runner sets dataset_meta before it trains, so a wrong class fails early.
        self.cat_ids = category_ids(
            self._coco_api.dataset["categories"], dataset_meta["classes"], self.ann_file
        )
        self._dataset_meta = dataset_meta

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return ``{metric}_mAP`` and its variants with the suffixes _50, _75, _s, _m and _l.

        A value is a fraction in [0, 1], or -1 if the truth has no instance that counts for it.
        Without any prediction, all values are 0. ``classwise`` adds ``{metric}_mAP/{class}`` if
        there are predictions. With ``format_only``, the predictions are only written to
        ``{outfile_prefix}.*.json``, and the result is empty.

        Args:
            results: for each image, a pair of its ground truth and its predictions, as ``process``
                of ``CocoMetric`` stores them.
        """
        logger = MMLogger.get_current_instance()
        predictions = [
            annotation
            for _, prediction in results
            for annotation in self._coco_annotations(prediction)
        ]
        if self.outfile_prefix:
            self.results2json([prediction for _, prediction in results], self.outfile_prefix)
        if self.format_only:
            return {}
        truth = self._truth()
        values: dict[str, float] = {}
        for metric in self.metrics:
            if not predictions:
                logger.warning(
                    f"InstanceMetric: the model predicted no instances, so every {metric} AP is 0"
                )
                values.update({f"{metric}_{name}": 0.0 for name in SUMMARY})
                continue
            evaluation = self._evaluation(metric, truth, predictions, logger)
            evaluation.params.catIds = self.cat_ids
            evaluation.params.maxDets = [self.max_detections]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            values.update({f"{metric}_{k}": float(evaluation.stats[i]) for k, i in SUMMARY.items()})
            if self.classwise:
                # precision: (IoU thresholds, recalls, classes, area ranges, detection limits),
                # classes by ascending category id.
                precision = evaluation.eval["precision"][:, :, :, 0, -1]
                classes = (self.dataset_meta or {})["classes"]
                by_id = sorted(zip(self.cat_ids, classes, strict=True))
                for index, (_, name) in enumerate(by_id):
                    known = precision[:, :, index][precision[:, :, index] > -1]
                    values[f"{metric}_mAP/{name}"] = float(known.mean()) if known.size else -1.0
        return values

    def _truth(self) -> COCO:
        content = self._coco_api.dataset
        annotations = [
            {"iscrowd": 0, **annotation, "id": number, "area": area_of(annotation)}
            for number, annotation in enumerate(content["annotations"], start=1)
        ]
        return COCO({**content, "annotations": annotations})

    def _check_masks(self) -> None:
        for number, annotation in self._coco_api.anns.items():
            if not has_mask(annotation):
                needed_by = " and ".join(name for name in self.metrics if name != "bbox")
                raise ValueError(
                    f"InstanceMetric: annotation {number} of {self.ann_file} has no mask (polygons "
                    f"need three points), but each annotation needs a mask for {needed_by} AP; add "
                    "the masks, or set metric='bbox'"
                )

    def _evaluation(
        self, metric: str, truth: COCO, predictions: list[dict[str, Any]], logger: MMLogger
    ) -> COCOeval_faster:
        # For masks, leave out the key ``bbox``: if a prediction has a box, ``loadRes`` takes the
        # area of the box for the area of the mask.
        key = "bbox" if metric == "bbox" else "segmentation"
        if any(key not in annotation for annotation in predictions):
            raise ValueError(
                f"InstanceMetric: {metric} AP needs masks, but the predictions have none; "
                "set metric='bbox', or use a model that predicts masks"
            )
        if key == "segmentation":
            self._check_sizes(truth, predictions)
        kept = ("image_id", "category_id", "score", key)
        results = truth.loadRes([{name: a[name] for name in kept} for a in predictions])
        if metric == "boundary":
            return BoundaryEvaluation(
                truth, results, self.boundary_dilation_ratio, print_function=logger.debug
            )
        return COCOeval_faster(truth, results, metric, print_function=logger.debug)

    def _check_sizes(self, truth: COCO, predictions: list[dict[str, Any]]) -> None:
        # COCO's evaluation gives the IoU 0 to masks of different sizes.
        for annotation in predictions:
            image = truth.imgs.get(annotation["image_id"])
            if image is None:
                continue  # ``loadRes`` refuses images that the ground truth does not list
            size, expected = annotation["segmentation"]["size"], [image["height"], image["width"]]
            if list(size) != expected:
                raise ValueError(
                    f"InstanceMetric: a predicted mask in {image['file_name']} has the size "
                    f"{tuple(size)} (height, width), but {self.ann_file} gives the image the size "
                    f"{tuple(expected)}; predict masks at the original size of the image, or "
                    "correct the image's size in the json"
                )

    def _coco_annotations(self, prediction: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the detections of one image as COCO annotations."""
        annotations = []
        for i, label in enumerate(prediction["labels"]):
            x1, y1, x2, y2 = prediction["bboxes"][i].tolist()
            annotation = {
                "image_id": prediction["img_id"],
                "category_id": self.cat_ids[label],
                "score": float(prediction["scores"][i]),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
            if "masks" in prediction:
                annotation["segmentation"] = prediction["masks"][i]
            annotations.append(annotation)
        return annotations
