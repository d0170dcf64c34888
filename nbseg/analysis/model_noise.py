"""The curves of the paper's Fig. 3 and 6 for several models at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.progress import track

from nbseg.analysis.mask_pairs import MaskPair, match_image
from nbseg.analysis.model_curves import ErrorByDistance, RecallByIoU, SoftMaskReliability
from nbseg.analysis.noise_curves import AccuracyByDistance, IoUBySize
from nbseg.analysis.prediction_files import Predictions, read_predictions
from nbseg.coco import read_coco
from nbseg.structures import CroppedMasks


@dataclass
class ModelCurves:
    """What is measured of one model.

    Attributes:
        accuracy_by_distance: Fig. 3a.
        iou_by_size: Fig. 3b.
        error_by_distance: Fig. 6a.
        recall_by_iou: Fig. 6b.
        reliability: Fig. 6c; None without soft masks.
        ious: mask IoU of each matched pair.
    """

    reliability: SoftMaskReliability | None
    accuracy_by_distance: AccuracyByDistance = field(default_factory=AccuracyByDistance)
    iou_by_size: IoUBySize = field(default_factory=IoUBySize)
    error_by_distance: ErrorByDistance = field(default_factory=ErrorByDistance)
    recall_by_iou: RecallByIoU = field(default_factory=RecallByIoU)
    ious: list[float] = field(default_factory=list)

    def add(self, pairs: Sequence[MaskPair], instances: int) -> None:
        """Count the pairs of one image with so many true instances."""
        ious = [float(pair.iou) for pair in pairs]
        self.ious += ious
        self.recall_by_iou.add(ious, instances)
        if not pairs:
            return
        for pair in pairs:
            predicted, true = coco_mask.decode(pair.predicted), coco_mask.decode(pair.true)
            self.accuracy_by_distance.add(predicted, true, pair.box)
            self.error_by_distance.add(predicted, true)
        size = pairs[0].true["size"]
        predicted, true = (
            CroppedMasks.from_segmentations(rles, *size)
            for rles in ([pair.predicted for pair in pairs], [pair.true for pair in pairs])
        )
        boxes = torch.tensor([pair.box for pair in pairs], dtype=torch.float32)
        self.iou_by_size.add(predicted, true, boxes)
        if self.reliability:
            soft_masks, boxes = (
                np.stack([pair.found[key] for pair in pairs]) for key in ("soft_mask", "box")
            )
            self.reliability.add(soft_masks, boxes, true)


def analyze_models(
    predictions: dict[str, str | Path],
    truth_json: str | Path,
    min_score: float = 0.0,
    common: bool = False,
) -> dict[str, ModelCurves]:
    """Compare the predictions of several models with the truth; shows its progress on stderr.

    In each image and class the predictions, the most confident first, take the free true instance
    of highest mask IoU, 0.5 or more. One image's masks are decoded at a time, one after the other.

    Args:
        predictions: by the model's name, a file or folder for ``read_predictions``; all of the same
            images.
        truth_json: COCO json; may hold other images, too.
        min_score: predictions below it are left out.
        common: only true instances that every model finds, so that masks are compared, not
            detections.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: no model, predictions of other images or classes, or a json of another form.
    """
    truth_path = Path(truth_json)
    truth = read_coco(truth_path)
    sources = {
        name: read_predictions(path, truth, truth_path) for name, path in predictions.items()
    }
    images = _same_images(sources, truth_path)
    curves = {
        name: ModelCurves(SoftMaskReliability() if source.has_soft_masks else None)
        for name, source in sources.items()
    }
    for image in track(images, "comparing with the truth", console=Console(stderr=True)):
        entry, wanted = truth.imgs[image], truth.imgToAnns[image]
        pairs = {}
        for name, source in sources.items():
            found = [a for a in source.annotations(image) if a["score"] >= min_score]
            matches = match_image(found, wanted, entry["height"], entry["width"])
            pairs[name] = matches.pairs
        instances = sum(not annotation.get("iscrowd", 0) for annotation in wanted)
        if common:
            found_by_all = set.intersection(
                *({pair.wanted["id"] for pair in own} for own in pairs.values())
            )
            pairs = {
                name: [pair for pair in own if pair.wanted["id"] in found_by_all]
                for name, own in pairs.items()
            }
            instances = len(found_by_all)
        for name, own in pairs.items():
            curves[name].add(own, instances)
    return curves


def _same_images(sources: dict[str, Predictions], truth_path: Path) -> list[int]:
    """Return the images that all are of, by ascending id."""
    if not sources:
        raise ValueError("no predictions are given; name one or more")
    (first, source), *others = sources.items()
    for name, other in others:
        if other.images != source.images:
            alone = len(set(other.images) ^ set(source.images))
            raise ValueError(
                f"{first} is of {len(source.images)} images of {truth_path}, {name} of "
                f"{len(other.images)}, and {alone} are in one of them only; compare predictions of "
                "the same images"
            )
    return source.images
