"""Compute the curves of Fig. 3 and Fig. 6 of the Noisy Boundaries paper for several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.progress import track

from nbseg.analysis.map_curves import MapCurves
from nbseg.analysis.mask_pairs import MaskPair, match_image, soft_pairs, stack_pairs
from nbseg.analysis.model_curves import ErrorByDistance, RecallByIoU, SoftMaskReliability
from nbseg.analysis.noise_curves import AccuracyByDistance, IoUBySize
from nbseg.analysis.prediction_files import Predictions, read_predictions
from nbseg.coco import load_coco


@dataclass
class ModelCurves:
    """Holds the curves of one model.

    Attributes:
        accuracy_by_distance: pixel accuracy by distance to the true boundary (Noisy Boundaries,
            Fig. 3a).
        iou_by_size: mask IoU and boundary IoU by mask size (Noisy Boundaries, Fig. 3b).
        boundary_map: curves and examples of the boundary-preserving map (Noisy Boundaries, Fig. 6);
            None if the predictions have no soft masks.
        error_by_distance: share of wrong pixels by distance to the true contour.
        recall_by_iou: share of true instances that are found, by required mask IoU.
        reliability: comparison of the soft masks' probabilities with the share of true
            foreground; None if the predictions have no soft masks.
        ious: mask IoU of each pair of a prediction and the true instance that it matches.
    """

    reliability: SoftMaskReliability | None
    boundary_map: MapCurves | None
    accuracy_by_distance: AccuracyByDistance = field(default_factory=AccuracyByDistance)
    iou_by_size: IoUBySize = field(default_factory=IoUBySize)
    error_by_distance: ErrorByDistance = field(default_factory=ErrorByDistance)
    recall_by_iou: RecallByIoU = field(default_factory=RecallByIoU)
    ious: list[float] = field(default_factory=list)

    def add(self, pairs: Sequence[MaskPair], instances: int) -> None:
        """Add one image to all curves.

        Args:
            pairs: the image's predictions that match a true instance, with these instances.
            instances: number of true instances in the image, matched or not.
        """
        ious = [float(pair.iou) for pair in pairs]
        self.ious += ious
        self.recall_by_iou.add(ious, instances)
        if not pairs:
            return
        for pair in pairs:
            predicted, true = coco_mask.decode(pair.predicted_rle), coco_mask.decode(pair.true_rle)
            self.accuracy_by_distance.add(predicted, true, pair.true_box)
            self.error_by_distance.add(predicted, true)
        predicted_masks, true_masks, true_boxes = stack_pairs(pairs)
        self.iou_by_size.add(predicted_masks, true_masks, true_boxes)
        if self.reliability and self.boundary_map:
            soft_masks, boxes = (
                np.stack([pair.prediction[key] for pair in pairs]) for key in ("soft_mask", "box")
            )
            soft = soft_pairs(soft_masks, boxes, true_masks)
            self.reliability.add(soft)
            self.boundary_map.add(soft)


def analyze_models(
    predictions: dict[str, str | Path],
    truth_json: str | Path,
    min_score: float = 0.0,
    common: bool = False,
) -> dict[str, ModelCurves]:
    """Compare the predictions of several models with the truth; the progress is shown on stderr.

    Predictions are matched to the true instances of their image and class if the mask IoU is at
    least 0.5 (see ``match_instances``). Masks are decoded one by one to save memory.

    Args:
        predictions: for each model name, the path of a json or folder of predictions (see
            ``read_predictions``). All models must have predicted the same images.
        truth_json: COCO json with the true annotations of these images; it may contain other
            images, too.
        min_score: predictions with a lower score are left out.
        common: whether to count only the true instances that all models find. The curves then
            compare only the quality of the masks, and not how many instances a model finds.

    Returns:
        The curves by model name.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: ``predictions`` is empty, the models predicted different images, the predictions
            of a model do not fit the truth (see ``JsonPredictions`` and ``StoredPredictions``), or
            a file is invalid.
    """
    truth_path = Path(truth_json)
    truth = load_coco(truth_path, masks=True)
    sources = {
        name: read_predictions(path, truth, truth_path) for name, path in predictions.items()
    }
    images = _same_images(sources, truth_path)
    curves = {
        name: ModelCurves(SoftMaskReliability(), MapCurves())
        if source.has_soft_masks
        else ModelCurves(None, None)
        for name, source in sources.items()
    }
    for image in track(images, "comparing with the truth", console=Console(stderr=True)):
        entry, true_instances = truth.imgs[image], truth.imgToAnns[image]
        pairs_of = {}
        for name, source in sources.items():
            predicted = [a for a in source.annotations(image) if a["score"] >= min_score]
            matches = match_image(predicted, true_instances, entry["height"], entry["width"])
            pairs_of[name] = matches.pairs
        instances = sum(not annotation.get("iscrowd", 0) for annotation in true_instances)
        if common:
            found_by_all = set.intersection(
                *({pair.truth["id"] for pair in pairs} for pairs in pairs_of.values())
            )
            pairs_of = {
                name: [pair for pair in pairs if pair.truth["id"] in found_by_all]
                for name, pairs in pairs_of.items()
            }
            instances = len(found_by_all)
        for name, pairs in pairs_of.items():
            curves[name].add(pairs, instances)
    return curves


def _same_images(sources: dict[str, Predictions], truth_path: Path) -> list[int]:
    """Return the ids of the predicted images, ascending; all models must have the same images."""
    if not sources:
        raise ValueError("no predictions are given; give the predictions of at least one model")
    (first, source), *others = sources.items()
    for name, other in others:
        if other.images != source.images:
            alone = len(set(other.images) ^ set(source.images))
            raise ValueError(
                f"the models {first} and {name} must have predictions for the same images of "
                f"{truth_path}, found {len(source.images)} images for {first} and "
                f"{len(other.images)} for {name}; {alone} of these images have predictions of only "
                "one model; give predictions of the same images"
            )
    return source.images
