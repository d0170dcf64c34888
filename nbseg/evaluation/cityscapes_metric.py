"""Mask AP as the Cityscapes benchmark defines it."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric

from nbseg.registry import METRICS
from nbseg.structures import CroppedMasks


@METRICS.register_module()
class CityscapesInstanceMetric(BaseMetric):
    """Average precision of masks in the Cityscapes protocol, by ``cityscapesscripts``.

    It differs from COCO's: the truth are the ``*_gtFine_instanceIds.png``, in which no pixel has
    two instances; predictions that lie for more than the IoU threshold on groups, void or instances
    of less than 100 pixels do not count; any number of predictions an image does; precision is not
    interpolated. A mask is compared with the image of ids within its own box, and of an image only
    pixel counts are kept. Precision and averages are the package's own ``evaluateMatches`` and
    ``computeAverages``.

    Args:
        ann_dir: folder with ``CITY/CITY_SEQUENCE_FRAME_gtFine_instanceIds.png``, as
            ``gtFine/val``. The image's folder is its city, and its name ends in
            ``_leftImg8bit.png``.
        classwise: also report ``AP/{class}``.
        **kwargs: ``prefix``, ``collect_device`` ... of ``BaseMetric``.

    Values are fractions in [0, 1]: ``AP`` at IoU 0.5 to 0.95 and ``AP_50``; -1 where the truth has
    no instance.

    Raises:
        ImportError: ``cityscapesscripts`` is missing.
        FileNotFoundError: ``ann_dir`` is not a folder; in the evaluation, an image has no truth.
        ValueError: in the evaluation, a class has no instances in Cityscapes.
    """

    default_prefix = "cityscapes"

    def __init__(self, ann_dir: str, classwise: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        try:
            from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as protocol
        except ImportError as error:
            raise ImportError(
                'CityscapesInstanceMetric needs cityscapesscripts: pip install "nbseg[cityscapes]"'
            ) from error
        if not Path(ann_dir).is_dir():
            raise FileNotFoundError(
                f"CityscapesInstanceMetric: ann_dir must be the folder of the cities' "
                f"*_gtFine_instanceIds.png, such as gtFine/val; there is no folder {ann_dir}"
            )
        self.ann_dir = Path(ann_dir)
        self.classwise = classwise
        self._protocol = protocol
        self._arguments = copy.copy(protocol.args)
        protocol.setInstanceLabels(self._arguments)
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
            found = sample["pred_instances"]
            scores = found["mask_scores"] if "mask_scores" in found else found["scores"]
            names = [classes[label] for label in found["labels"].tolist()]
            # In this order: of several ranks' images MMEngine drops the repeated ones at the end.
            self.results.append((str(path), self._match(ids, found["masks"], names, scores)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return ``AP``, ``AP_50`` and, if asked for, ``AP/{class}``."""
        matches = dict(results)
        precision = self._protocol.evaluateMatches(matches, self._arguments)
        if np.isnan(precision).all():
            return {"AP": -1.0, "AP_50": -1.0}
        averages = self._protocol.computeAverages(precision, self._arguments)
        values = {"AP": averages["allAp"], "AP_50": averages["allAp50%"]}
        if self.classwise:
            for name in self.dataset_meta["classes"]:
                values[f"AP/{name}"] = averages["classes"][name]["ap"]
        return {name: -1.0 if math.isnan(v) else float(v) for name, v in values.items()}

    def _truth_of(self, image: str) -> Path:
        name = Path(image).stem.removesuffix("_leftImg8bit")
        return self.ann_dir / Path(image).parent.name / f"{name}_gtFine_instanceIds.png"

    def _match(
        self, ids: np.ndarray, masks: Any, names: Sequence[str], scores: Sequence[float]
    ) -> dict[str, dict[str, list[dict]]]:
        """Count pixels, in the form in which ``cityscapesscripts`` matches one image.

        Args:
            ids: ground truth, shape (H, W): a label's id, or 1000 times that plus a number.
            masks: N predictions.
            names: their classes, (N,).
            scores: (N,).
        """
        truth: dict[str, list[dict]] = {name: [] for name in self._label_ids}
        predictions: dict[str, list[dict]] = {name: [] for name in self._label_ids}
        classes = {label_id: name for name, label_id in self._label_ids.items()}
        for instance, pixels in enumerate(np.bincount(ids.ravel()).tolist()):
            name = classes.get(instance if instance < 1000 else instance // 1000)
            if pixels and name:
                # Distances are not measured; the values say so to the protocol.
                entry = {"instID": instance, "pixelCount": pixels, "medDist": -1, "distConf": 0.0}
                truth[name].append({**entry, "matchedPred": []})

        if isinstance(masks, list):
            crops = CroppedMasks.from_segmentations(masks, *ids.shape)
        else:
            crops = CroppedMasks.from_bitmaps(masks)
        for (crop, (x, y)), name, score in zip(crops.iterate_crops(), names, scores, strict=True):
            height, width = crop.shape
            # Pixels of the prediction by the id of the truth there.
            pixels = np.bincount(ids[y : y + height, x : x + width][crop.view(bool)], minlength=1)
            covered = int(pixels.sum())
            if not covered:
                continue
            entry = {"pixelCount": covered, "confidence": float(score)}
            matched = []
            for instance in truth[name]:
                number = instance["instID"]
                shared = int(pixels[number]) if number < len(pixels) else 0
                if shared:
                    instance["matchedPred"].append({**entry, "intersection": shared})
                    own = {key: v for key, v in instance.items() if key != "matchedPred"}
                    matched.append({**own, "intersection": shared})
            void = sum(int(pixels[i]) for i in self._void if i < len(pixels))
            predictions[name].append({**entry, "voidIntersection": void, "matchedGt": matched})
        return {"groundTruth": truth, "prediction": predictions}
