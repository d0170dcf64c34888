"""Mask AP and boundary AP as the Cityscapes benchmark defines AP."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric

from nbseg.evaluation.boundary import (
    KERNEL,
    boundary_of_crop,
    boundary_width,
    check_dilation_ratio,
)
from nbseg.registry import METRICS
from nbseg.structures import CroppedMasks

# Of the values' names, by metric.
PREFIXES = {"segm": "", "boundary": "boundary_"}
# Beyond the id of any instance: a label's id is at most 33.
MAX_ID = 34000


@METRICS.register_module()
class CityscapesInstanceMetric(BaseMetric):
    """Average precision of masks (``segm``) and boundaries by the Cityscapes protocol.

    It differs from COCO's: the truth are the ``*_gtFine_instanceIds.png``, in which no pixel has
    two instances; predictions that lie for more than the IoU threshold on groups, void or instances
    of less than 100 pixels do not count; any number of predictions an image does; precision is not
    interpolated. A mask is compared with the image of ids within its own box, and of an image only
    pixel counts are kept. Precision and averages are ``cityscapesscripts``' own ``evaluateMatches``
    and ``computeAverages``. For boundary AP the IoU is min(mask IoU, Boundary IoU); what does not
    count is the same.

    Args:
        ann_dir: folder with ``CITY/CITY_SEQUENCE_FRAME_gtFine_instanceIds.png``, as
            ``gtFine/val``. The image's folder is its city, and its name ends in
            ``_leftImg8bit.png``.
        metric: ``segm``, ``boundary`` or both.
        boundary_dilation_ratio: width of the boundary as a fraction of the image diagonal.
        classwise: also report ``AP/{class}`` and ``boundary_AP/{class}``.
        **kwargs: ``prefix``, ``collect_device`` ... of ``BaseMetric``.

    Values are fractions in [0, 1]: ``AP`` at IoU 0.5 to 0.95, ``AP_50``, ``boundary_AP`` and
    ``boundary_AP_50``; -1 where the truth has no instance.

    Raises:
        ImportError: ``cityscapesscripts`` is missing.
        FileNotFoundError: ``ann_dir`` is no such folder; in the evaluation, an image has no truth.
        ValueError: an unknown metric or ratio; in the evaluation, a class without instances in
            Cityscapes, or masks of another size.
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

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the predictions of some images with their truth.

        Args:
            data_batch: ignored.
            data_samples: with ``img_path`` and ``pred_instances``: ``masks`` (N) COCO run lengths
                or a bool tensor (N, H, W), ``labels`` and ``scores`` (N,).
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
            ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if ids is None or ids.ndim != 2:
                raise FileNotFoundError(
                    f"CityscapesInstanceMetric: the truth of {sample['img_path']} must be the "
                    f"image of instance ids {path}; there is none"
                )
            self.results.append((str(path), self._match(ids, sample["pred_instances"])))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return ``AP`` and ``AP_50`` of every metric and, if asked for, ``AP`` by class."""
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

    def _match(self, ids: np.ndarray, found: Any) -> dict[str, dict]:
        """Count pixels, by metric in the form in which ``cityscapesscripts`` matches one image.

        Args:
            ids: ground truth, shape (H, W): a label's id, or 1000 times that plus a number.
            found: predictions of the image.
        """
        masks = found["masks"]
        if isinstance(masks, list):
            crops = CroppedMasks.from_segmentations(masks, *ids.shape)
        else:
            crops = CroppedMasks.from_bitmaps(masks)
        scores = found["mask_scores"] if "mask_scores" in found else found["scores"]
        names = [self.dataset_meta["classes"][label] for label in found["labels"].tolist()]

        sizes = np.bincount(ids.ravel(), minlength=MAX_ID)
        matches = {metric: self._truth(sizes) for metric in self.metrics}
        dilation = boundary_width(*ids.shape, self.boundary_dilation_ratio)
        if "boundary" in self.metrics:
            edges = _boundaries(ids, dilation)
            edge_sizes = np.bincount(edges.ravel(), minlength=MAX_ID)
        for (crop, (x, y)), name, score in zip(crops.iterate_crops(), names, scores, strict=True):
            window = np.s_[y : y + crop.shape[0], x : x + crop.shape[1]]
            # Pixels that the prediction shares with each id.
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
                    intersection = int(shared[number])
                    if not intersection:
                        continue
                    if metric == "boundary" and number >= 1000 and size >= self._least_pixels:
                        mask_iou = intersection / (area + size - intersection)
                        union = edge_sizes[number] + edge_size - edge_shared[number]
                        iou = min(mask_iou, float(edge_shared[number] / union))
                        intersection = _as_intersection(iou, area + size)
                    instance["matchedPred"].append({**entry, "intersection": intersection})
                    own = {key: v for key, v in instance.items() if key != "matchedPred"}
                    matched.append({**own, "intersection": intersection})
                match["prediction"][name].append(
                    {**entry, "voidIntersection": void, "matchedGt": matched}
                )
        return matches

    def _truth(self, sizes: np.ndarray) -> dict[str, dict[str, list[dict]]]:
        """An image of so many pixels of each id, with nothing predicted yet."""
        truth: dict[str, list[dict]] = {name: [] for name in self._label_ids}
        classes = {label_id: name for name, label_id in self._label_ids.items()}
        for number in np.flatnonzero(sizes).tolist():
            if name := classes.get(number if number < 1000 else number // 1000):
                truth[name].append(
                    {
                        "instID": number,
                        "pixelCount": int(sizes[number]),
                        # Not measured; the values say so to the protocol.
                        "medDist": -1,
                        "distConf": 0.0,
                        "matchedPred": [],
                    }
                )
        return {"groundTruth": truth, "prediction": {name: [] for name in self._label_ids}}


def _as_intersection(iou: float, pixels: int) -> float:
    """The intersection of two masks of so many pixels together from which this IoU follows.

    A hair less: rounding must not lift the IoU above a threshold that it equals.
    """
    return (1 - 1e-12) * iou * pixels / (1 + iou)


def _boundaries(ids: np.ndarray, dilation: int) -> np.ndarray:
    """Keep the ids of the pixels that each instance's own erosion would take; 0 elsewhere.

    A pixel stays in its instance's erosion where all pixels around it have its id.
    """
    padded = np.pad(ids, 1)
    lowest = cv2.erode(padded, KERNEL, iterations=dilation)
    highest = cv2.dilate(padded, KERNEL, iterations=dilation)
    return np.where(lowest == highest, 0, padded)[1:-1, 1:-1].astype(ids.dtype)
