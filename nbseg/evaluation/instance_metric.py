"""Box, mask and boundary AP with every digit and every detection."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faster_coco_eval import COCO, COCOeval_faster
from mmdet.evaluation import CocoMetric
from mmengine.logging import MMLogger

from nbseg.coco import category_ids
from nbseg.evaluation.boundary import BoundaryEvaluation, check_dilation_ratio
from nbseg.files import read_json
from nbseg.registry import METRICS

# Options of CocoMetric for what this metric does in one way.
WITHOUT_EFFECT = {"iou_thrs", "metric_items", "proposal_nums", "use_mp_eval"}
# Positions in COCOeval's summary.
SUMMARY = {"mAP": 0, "mAP_50": 1, "mAP_75": 2, "mAP_s": 3, "mAP_m": 4, "mAP_l": 5}


@METRICS.register_module()
class InstanceMetric(CocoMetric):
    """COCO average precision of boxes (``bbox``), masks (``segm``) and boundaries (``boundary``).

    Differs from ``CocoMetric`` in four ways: values are not rounded, the number of detections that
    count for an image is ``max_detections`` (MMDetection's stays at 100 whatever it is told), and
    boundary AP (Cheng et al., 2021; ``nbseg.evaluation.boundary``) is there, and
    an annotation with the id 0 counts, which COCO's evaluation takes for no match at all. Predicted
    masks may be COCO run lengths; none is unpacked to the image's size.

    Args:
        ann_file: COCO json with the ground truth.
        metric: one or more of ``bbox``, ``segm``, ``boundary``.
        max_detections: detections an image that count, the best first.
        boundary_dilation_ratio: width of the boundary as a fraction of the image diagonal; 0.02 for
            COCO, 0.005 for Cityscapes.
        classwise: also report ``{metric}_mAP/{class}``.
        **kwargs: ``prefix``, ``outfile_prefix``, ``backend_args`` ... of ``CocoMetric``.

    Raises:
        ValueError: an unknown metric, a ratio or a limit that is not positive, an option of
            ``CocoMetric`` that has no effect here, truth without masks where masks are measured;
            when ``dataset_meta`` is set, classes that the truth does not have, or has in another
            order; in the evaluation, predictions without masks, or masks of another size.

    Values are fractions in [0, 1]; -1 where no ground truth of that size exists.
    """

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = ("bbox", "segm"),
        max_detections: int = 100,
        boundary_dilation_ratio: float = 0.02,
        classwise: bool = False,
        **kwargs,
    ) -> None:
        metrics = [metric] if isinstance(metric, str) else list(metric)
        unknown = sorted(set(metrics) - {"bbox", "segm", "boundary"})
        if unknown:
            raise ValueError(
                f"InstanceMetric: metric must be of bbox, segm and boundary, found {unknown}"
            )
        if max_detections < 1:
            raise ValueError(f"InstanceMetric: max_detections must be >= 1, found {max_detections}")
        check_dilation_ratio(boundary_dilation_ratio)
        if without_effect := sorted(WITHOUT_EFFECT & set(kwargs)):
            raise ValueError(f"InstanceMetric has no options {without_effect}; leave them out")
        super().__init__(ann_file=ann_file, metric="segm", classwise=classwise, **kwargs)
        self.metrics = metrics
        self.ann_file = ann_file
        self.max_detections = max_detections
        self.boundary_dilation_ratio = boundary_dilation_ratio
        # Now, not after a training.
        if metrics != ["bbox"]:
            self._check_masks()

    @property
    def dataset_meta(self) -> dict[str, Any] | None:
        """Of the data set: ``classes`` are the names of the labels 0, 1, ..."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict[str, Any]) -> None:
        # A runner sets it before it trains.
        self.cat_ids = category_ids(self._coco_api, dataset_meta["classes"], self.ann_file)
        self._dataset_meta = dataset_meta

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return ``{metric}_mAP``, ``_50``, ``_75``, ``_s``, ``_m``, ``_l`` of every metric.

        Nothing with ``format_only``, which writes the predictions to ``outfile_prefix``.
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
                logger.warning("InstanceMetric: there is no prediction at all; every AP is 0.")
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
                # the classes by ascending category id.
                precision = evaluation.eval["precision"][:, :, :, 0, -1]
                by_id = sorted(zip(self.cat_ids, self.dataset_meta["classes"], strict=True))
                for index, (_, name) in enumerate(by_id):
                    known = precision[:, :, index][precision[:, :, index] > -1]
                    values[f"{metric}_mAP/{name}"] = float(known.mean()) if known.size else -1.0
        return values

    def _truth(self) -> COCO:
        content = read_json(Path(self.ann_file))
        for number, annotation in enumerate(content.get("annotations", ()), start=1):
            annotation["id"] = number
        return COCO(content)

    def _check_masks(self) -> None:
        for number, annotation in self._coco_api.anns.items():
            if not annotation.get("segmentation"):
                raise ValueError(
                    f"InstanceMetric: annotation {number} of {self.ann_file} has no mask, which "
                    f"{' and '.join(self.metrics)} need; metric='bbox' does without"
                )

    def _evaluation(
        self, metric: str, truth: COCO, predictions: list[dict], logger: MMLogger
    ) -> COCOeval_faster:
        # COCO's evaluation takes an annotation's area from its box where it has one.
        key = "bbox" if metric == "bbox" else "segmentation"
        if any(key not in annotation for annotation in predictions):
            raise ValueError(
                f"InstanceMetric: {metric} needs masks, but the model predicted none; "
                "metric='bbox' does without"
            )
        kept = ("image_id", "category_id", "score", key)
        found = truth.loadRes([{name: a[name] for name in kept} for a in predictions])
        if metric == "boundary":
            return BoundaryEvaluation(
                truth, found, self.boundary_dilation_ratio, print_function=logger.debug
            )
        return COCOeval_faster(truth, found, metric, print_function=logger.debug)

    def _coco_annotations(self, prediction: dict) -> list[dict]:
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
