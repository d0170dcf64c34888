"""Compute mask AP and boundary AP as the Cityscapes benchmark does."""

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

# Prefix of the names of the reported values, for each metric.
PREFIXES = {"segm": "", "boundary": "boundary_"}
# All ids are below MAX_ID: an instance id is 1000 * label id + instance number, the label id is at
# most 33, and the instance number is below 1000.
MAX_ID = 34000


# One image in the format of cityscapesscripts: true and predicted instances by class name.
ImageEntry = dict[str, dict[str, list[dict[str, Any]]]]


@METRICS.register_module()
class CityscapesInstanceMetric(BaseMetric):
    """Computes the average precision of masks and boundaries by the Cityscapes protocol.

    The protocol differs from COCO's:

    - The ground truth of an image is the file ``*_gtFine_instanceIds.png``. Each pixel belongs to
      at most one instance.
    - Groups, void areas and instances of fewer than 100 pixels are ignored regions. An unmatched
      prediction is ignored if the fraction of its area in ignored regions exceeds the IoU
      threshold.
    - All predictions of an image count, not only those with the highest scores.
    - Precision is not interpolated.

    For boundary AP, the IoU is min(mask IoU, boundary IoU). The same predictions are ignored as for
    mask AP.

    The functions ``evaluateMatches`` and ``computeAverages`` of ``cityscapesscripts`` compute the
    values. To save memory, this class keeps only the pixel counts of each prediction.

    Args:
        ann_dir: folder with ``CITY/CITY_SEQUENCE_FRAME_gtFine_instanceIds.png``, such as
            ``gtFine/val``. Images must be named ``CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png``.
        metric: ``segm``, ``boundary`` or both.
        boundary_dilation_ratio: boundary width as a fraction of the image diagonal.
        classwise: whether to report ``AP/{class}`` and ``boundary_AP/{class}``, too.
        **kwargs: arguments of ``BaseMetric``, such as ``prefix`` and ``collect_device``.

    The values are ``AP`` (IoU 0.5 to 0.95), ``AP_50``, ``boundary_AP`` and ``boundary_AP_50``, as
    fractions in [0, 1]. A value is -1 if the truth has no instance that counts for this value.

    Raises:
        ImportError: ``cityscapesscripts`` is not installed.
        FileNotFoundError: ``ann_dir`` has no ground truth. During the evaluation, the error means
            that the ground truth of an image is missing or has several channels.
        ValueError: ``metric`` is unknown, or ``boundary_dilation_ratio`` is not between 0 and 1.
            During the evaluation, the error means that a class is not an instance class of
            Cityscapes, or that the sizes of a mask and its ground truth differ.
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
                f"CityscapesInstanceMetric: metric must be segm, boundary or both, found {unknown}"
            )
        check_dilation_ratio(boundary_dilation_ratio)
        self.boundary_dilation_ratio = boundary_dilation_ratio
        try:
            from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as protocol
        except ImportError as error:
            raise ImportError(
                "CityscapesInstanceMetric needs cityscapesscripts, which is not installed; run: "
                "pip install cityscapesscripts==2.3.0"
            ) from error
        if next(Path(ann_dir).glob("*/*_gtFine_instanceIds.png"), None) is None:
            raise FileNotFoundError(
                "CityscapesInstanceMetric: ann_dir must contain CITY/*_gtFine_instanceIds.png, as "
                f"gtFine/val does; found no such file in {ann_dir}"
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
            data_samples: samples with ``img_path`` and ``pred_instances``. The N predicted
                instances of a sample have ``masks``, ``labels`` and ``scores``. The masks are a
                list of RLEs or a bool tensor of shape (N, H, W). Labels and scores have the shape
                (N,). If the instances have ``mask_scores``, these replace ``scores``.
        """
        classes = self.dataset_meta["classes"]
        unknown = sorted(set(classes) - set(self._label_ids))
        if unknown:
            raise ValueError(
                "CityscapesInstanceMetric: each class must be one of "
                f"{', '.join(self._label_ids)}; found {unknown}; correct metainfo.classes of the "
                "data set"
            )
        for sample in data_samples:
            path = self._truth_of(sample["img_path"])
            ids = read_label_image(path) if path.is_file() else None
            if ids is None or ids.ndim != 2:
                raise FileNotFoundError(
                    f"CityscapesInstanceMetric: {sample['img_path']} needs the ground truth "
                    f"{path}, which is missing or has several channels instead of instance ids; "
                    "correct ann_dir or replace the file"
                )
            self.results.append((str(path), self._match(ids, sample["pred_instances"])))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Return the AP values by name, such as ``AP``, ``AP_50`` and ``boundary_AP``.

        A value is a fraction in [0, 1], or -1 if the truth has no instance that counts for it.

        Args:
            results: for each image, the path of the ground truth and the pixel counts that
                ``process`` stored.
        """
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
        """Compare the predictions of one image with the truth.

        Args:
            ids: ground truth, shape (H, W). The value of a pixel is 1000 * label id + instance
                number, or only the label id outside instances and in groups.
            predictions: predicted instances of the image.

        Returns:
            A dictionary from each metric to the pixel counts of the true and predicted instances,
            in the format of ``cityscapesscripts``.
        """
        masks = predictions["masks"]
        height, width = ids.shape
        if isinstance(masks, list):
            crops = CroppedMasks.from_segmentations(masks, height, width)
        elif masks.shape[1:] == (height, width):
            crops = CroppedMasks.from_bitmaps(masks)
        else:
            raise ValueError(
                f"CityscapesInstanceMetric: the predicted masks have the shape "
                f"{tuple(masks.shape)}; expected (N, {height}, {width}), the size of the ground "
                "truth"
            )
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
            # Count the pixels that the prediction shares with each id.
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
        """Return the true instances of an image in the format of ``cityscapesscripts``.

        The lists of predicted instances in the result are empty.

        Args:
            sizes: number of pixels of each id; the index is the id.
        """
        truth: dict[str, list[dict[str, Any]]] = {name: [] for name in self._label_ids}
        classes = {label_id: name for name, label_id in self._label_ids.items()}
        for number in np.flatnonzero(sizes).tolist():
            if name := classes.get(number if number < 1000 else number // 1000):
                truth[name].append(
                    {
                        "instID": number,
                        "pixelCount": int(sizes[number]),
                        # cityscapesscripts uses these values if distances are unknown.
                        "medDist": -1,
                        "distConf": 0.0,
                        "matchedPred": [],
                    }
                )
        return {"groundTruth": truth, "prediction": {name: [] for name in self._label_ids}}


def _as_intersection(iou: float, pixels: int) -> float:
    """Return the area of the intersection for which two masks have the given IoU.

    The result is reduced by the factor 1 - 1e-12. Without this factor, rounding errors could raise
    an IoU that equals a threshold above this threshold.

    Args:
        iou: the IoU of the two masks.
        pixels: the sum of the two masks' areas, in pixels.
    """
    return (1 - 1e-12) * iou * pixels / (1 + iou)


def _boundaries(ids: npt.NDArray[Any], dilation: int) -> npt.NDArray[Any]:
    """Return a copy of ``ids`` that is 0 at all pixels except boundary pixels.

    A pixel is a boundary pixel if a pixel of another id or the image's edge lies within
    ``dilation`` pixels.
    """
    padded = np.pad(ids, 1)
    lowest = cv2.erode(padded, KERNEL, iterations=dilation)
    highest = cv2.dilate(padded, KERNEL, iterations=dilation)
    return np.where(lowest == highest, 0, padded)[1:-1, 1:-1].astype(ids.dtype)
