"""Compute mask AP and boundary AP by the protocol of the Cityscapes benchmark."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from mmengine.evaluator import BaseMetric

from nbseg.evaluation.boundary import (
    KERNEL,
    boundary_of_crop,
    boundary_width,
    check_dilation_ratio,
)
from nbseg.images import read_label_image
from nbseg.registry import METRICS
from nbseg.structures import CroppedMasks

# Prefixes of the values' names by metric.
PREFIXES = {"segm": "", "boundary": "boundary_"}
# Larger than any instance id, which is 1000 * label id + number; a label's id is at most 33.
MAX_ID = 34000


# cityscapesscripts' entry of an image: true and predicted instances by class name.
ImageEntry = dict[str, dict[str, list[dict[str, Any]]]]


@METRICS.register_module()
class CityscapesInstanceMetric(BaseMetric):
    """Average precision of masks (``segm``) and boundaries by the Cityscapes protocol.

    The protocol differs from COCO's. The truth are the ``*_gtFine_instanceIds.png``, in which each
    pixel has at most one instance. A prediction does not count if a larger share of it than the IoU
    threshold lies on groups, void or instances of less than 100 pixels. There is no limit on the
    number of predictions per image, and precision is not interpolated. For boundary AP the IoU is
    min(mask IoU, Boundary IoU); the same predictions do not count.

    ``evaluateMatches`` and ``computeAverages`` of ``cityscapesscripts`` compute precision and
    averages. To save memory, each mask is compared with the image of ids inside the mask's box, and
    only pixel counts are kept.

    Args:
        ann_dir: folder with ``CITY/CITY_SEQUENCE_FRAME_gtFine_instanceIds.png``, such as
            ``gtFine/val``. An image's folder must be its city, and its name must end in
            ``_leftImg8bit.png``.
        metric: ``segm``, ``boundary`` or both.
        boundary_dilation_ratio: width of the boundary as a fraction of the image diagonal.
        classwise: whether to also report ``AP/{class}`` and ``boundary_AP/{class}``.
        **kwargs: ``prefix``, ``collect_device`` ... of ``BaseMetric``.

    Values are fractions in [0, 1]: ``AP`` at IoU 0.5 to 0.95, ``AP_50``, ``boundary_AP`` and
    ``boundary_AP_50``; -1 if the truth has no instance.

    Raises:
        ImportError: ``cityscapesscripts`` is missing.
        FileNotFoundError: ``ann_dir`` has no such files; in the evaluation, an image has no truth.
        ValueError: the metric or the ratio is unknown; in the evaluation, a class has no instances
            in Cityscapes, or masks have another size.
    """

    default_prefix = "cityscapes"

    def __init__(
        self,
        ann_dir: str,
        metric: str | Sequence[str] = ("segm", "boundary"),
        boundary_dilation_ratio: float = 0.005,
        classwise: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        if unknown := sorted(set(self.metrics) - set(PREFIXES)):
            raise ValueError(
                f"CityscapesInstanceMetric: metric must be of segm and boundary, found {unknown}"
            )
        check_dilation_ratio(boundary_dilation_ratio)
        self.boundary_dilation_ratio = boundary_dilation_ratio
        try:
            from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as protocol
        except ImportError as error:
            raise ImportError(
                'CityscapesInstanceMetric needs cityscapesscripts: pip install "nbseg[cityscapes]"'
            ) from error
        if next(Path(ann_dir).glob("*/*_gtFine_instanceIds.png"), None) is None:
            raise FileNotFoundError(
                f"CityscapesInstanceMetric: ann_dir must be the folder of the cities' "
                f"*_gtFine_instanceIds.png, such as gtFine/val; there are none below {ann_dir}"
            )
        self.ann_dir = Path(ann_dir)
        self.classwise = classwise
        self._protocol = protocol
        self._arguments = copy.copy(protocol.args)
        protocol.setInstanceLabels(self._arguments)
        self._least_pixels = int(self._arguments.minRegionSizes[0])
        self._label_ids = {
            name: protocol.name2label[name].id for name in self._arguments.instLabels
        }
        self._void = [label.id for label in protocol.labels if label.ignoreInEval and label.id >= 0]

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Compare the predictions of a batch of images with the truth.

        Args:
            data_batch: ignored.
            data_samples: samples with ``img_path`` and ``pred_instances``. These have ``masks``,
                N COCO run lengths or a bool tensor (N, H, W), ``labels`` and ``scores`` (N,).
        """
        classes = self.dataset_meta["classes"]
        unknown = sorted(set(classes) - set(self._label_ids))
        if unknown:
            raise ValueError(
                f"CityscapesInstanceMetric: the classes must be of {', '.join(self._label_ids)}; "
                f"found {unknown}"
            )
        for sample in data_samples:
            path = self._truth_of(sample["img_path"])
            ids = read_label_image(path) if path.is_file() else None
            if ids is None or ids.ndim != 2:
                raise FileNotFoundError(
                    f"CityscapesInstanceMetric: the truth of {sample['img_path']} must be the "
                    f"image of instance ids {path}; there is none"
                )
            self.results.append((str(path), self._match(ids, sample["pred_instances"])))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return ``AP`` and ``AP_50`` of every metric and, with ``classwise``, ``AP`` by class."""
        values: dict[str, float] = {}
        for metric in self.metrics:
            matches = {path: by_metric[metric] for path, by_metric in results}
            precision = self._protocol.evaluateMatches(matches, self._arguments)
            averages = {"allAp": math.nan, "allAp50%": math.nan}
            if not np.isnan(precision).all():
                averages = self._protocol.computeAverages(precision, self._arguments)
            prefix = PREFIXES[metric]
            values[f"{prefix}AP"] = averages["allAp"]
            values[f"{prefix}AP_50"] = averages["allAp50%"]
            if self.classwise:
                for name in self.dataset_meta["classes"]:
                    index = self._arguments.instLabels.index(name)
                    values[f"{prefix}AP/{name}"] = precision[0, index].mean()
        return {name: -1.0 if math.isnan(v) else float(v) for name, v in values.items()}

    def _truth_of(self, image: str) -> Path:
        name = Path(image).stem.removesuffix("_leftImg8bit")
        return self.ann_dir / Path(image).parent.name / f"{name}_gtFine_instanceIds.png"

    def _match(self, ids: npt.NDArray[Any], predictions: Any) -> dict[str, ImageEntry]:
        """Return one image's pixel counts by metric, in the format of ``cityscapesscripts``.

        Args:
            ids: ground truth, shape (H, W): a label's id, or 1000 * label's id + instance number.
            predictions: predicted instances of the image.
        """
        masks = predictions["masks"]
        height, width = ids.shape
        if isinstance(masks, list):
            crops = CroppedMasks.from_segmentations(masks, height, width)
        else:
            crops = CroppedMasks.from_bitmaps(masks)
        scores = predictions["mask_scores" if "mask_scores" in predictions else "scores"]
        names = [self.dataset_meta["classes"][label] for label in predictions["labels"].tolist()]

        sizes = np.bincount(ids.ravel(), minlength=MAX_ID)
        matches = {metric: self._truth(sizes) for metric in self.metrics}
        dilation = boundary_width(height, width, self.boundary_dilation_ratio)
        if "boundary" in self.metrics:
            edges = _boundaries(ids, dilation)
            edge_sizes = np.bincount(edges.ravel(), minlength=MAX_ID)
        for (crop, (x, y)), name, score in zip(crops.iterate_crops(), names, scores, strict=True):
            window = np.s_[y : y + crop.shape[0], x : x + crop.shape[1]]
            # Number of pixels that the prediction shares with each id.
            shared = np.bincount(ids[window][crop.view(bool)], minlength=MAX_ID)
            area = int(shared.sum())
            if not area:
                continue
            void = int(shared[self._void].sum())
            entry = {"pixelCount": area, "confidence": float(score)}
            for metric, match in matches.items():
                if metric == "boundary":
                    edge = boundary_of_crop(crop, dilation).view(bool)
                    edge_shared = np.bincount(edges[window][edge], minlength=MAX_ID)
                    edge_size = int(edge_shared.sum())
                matched = []
                for instance in match["groundTruth"][name]:
                    number, size = instance["instID"], instance["pixelCount"]
                    intersection: float = int(shared[number])
                    if not intersection:
                        continue
                    if metric == "boundary" and number >= 1000 and size >= self._least_pixels:
                        mask_iou = intersection / (area + size - intersection)
                        union = edge_sizes[number] + edge_size - edge_shared[number]
                        iou = min(mask_iou, float(edge_shared[number] / union))
                        intersection = _as_intersection(iou, area + size)
                    instance["matchedPred"].append({**entry, "intersection": intersection})
                    true = {key: v for key, v in instance.items() if key != "matchedPred"}
                    matched.append({**true, "intersection": intersection})
                match["prediction"][name].append(
                    {**entry, "voidIntersection": void, "matchedGt": matched}
                )
        return matches

    def _truth(self, sizes: npt.NDArray[Any]) -> ImageEntry:
        """Return an image's entry without predictions, given the number of pixels of each id."""
        truth: dict[str, list[dict[str, Any]]] = {name: [] for name in self._label_ids}
        classes = {label_id: name for name, label_id in self._label_ids.items()}
        for number in np.flatnonzero(sizes).tolist():
            if name := classes.get(number if number < 1000 else number // 1000):
                truth[name].append(
                    {
                        "instID": number,
                        "pixelCount": int(sizes[number]),
                        # cityscapesscripts' values for distances that are not measured.
                        "medDist": -1,
                        "distConf": 0.0,
                        "matchedPred": [],
                    }
                )
        return {"groundTruth": truth, "prediction": {name: [] for name in self._label_ids}}


def _as_intersection(iou: float, pixels: int) -> float:
    """Return the intersection with which two masks of so many pixels in total have this IoU.

    The result is slightly too small, so that rounding cannot raise an IoU that equals a threshold.
    """
    return (1 - 1e-12) * iou * pixels / (1 + iou)


def _boundaries(ids: npt.NDArray[Any], dilation: int) -> npt.NDArray[Any]:
    """Return the ids of the pixels in the boundary of their instance; 0 elsewhere.

    A pixel is inside its instance, not in the boundary, if all pixels around it have the same id.
    """
    padded = np.pad(ids, 1)
    lowest = cv2.erode(padded, KERNEL, iterations=dilation)
    highest = cv2.dilate(padded, KERNEL, iterations=dilation)
    return np.where(lowest == highest, 0, padded)[1:-1, 1:-1].astype(ids.dtype)
