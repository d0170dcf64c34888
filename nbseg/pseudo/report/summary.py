"""The pseudo-labels in numbers, without any truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO

from nbseg.pseudo.report.inputs import ReportInputs

HISTOGRAM_BINS = 100
TOLERATED_DIFFERENCE = 0.2  # as make_pseudo_labels warns
FEW = 0.5
MANY_EMPTY = 0.2
MOST_NAMES = 8


@dataclass(frozen=True)
class ClassSummary:
    """One class.

    ``score_histogram`` has 100 bins of width 0.01, the last one closed: of all candidates where the
    json says so (``counts_candidates``), else of the pseudo-labels. What is not known is None.
    """

    name: str
    pseudo_labels: int
    pseudo_per_image: float
    labelled_per_image: float | None
    box_threshold: float | None
    score_histogram: tuple[int, ...]
    counts_candidates: bool


@dataclass(frozen=True)
class Summary:
    """All images and classes; ``dataclasses.asdict`` makes it json.

    Attributes:
        images: those of the pseudo-labels' json.
        empty_images: those without a pseudo-label.
        pseudo_counts: images that have 0, 1, 2 ... pseudo-labels.
        labelled_counts: images that have 0, 1, 2 ... labelled instances, crowds left out; None
            without the labelled json.
        labelled_per_image: mean; from the labelled json or the pseudo-labels' ``info``.
        pixel_threshold: from ``info``, as are the two below.
        labelled_foreground_fraction: of the pixels inside the labelled boxes.
        foreground_at_threshold: fraction of the pixels inside the kept boxes that are foreground at
            the thresholds 0/255 ... 255/255.
        warnings: sentences, most general first.
    """

    images: int
    pseudo_labels: int
    empty_images: int
    pseudo_per_image: float
    labelled_per_image: float | None
    pseudo_counts: tuple[int, ...]
    labelled_counts: tuple[int, ...] | None
    pixel_threshold: float | None
    labelled_foreground_fraction: float | None
    foreground_at_threshold: tuple[float, ...] | None
    classes: tuple[ClassSummary, ...]
    warnings: tuple[str, ...]


def summarise(inputs: ReportInputs) -> Summary:
    """Count, and compare with the labelled set where it is known."""
    pseudo, labelled, info = inputs.pseudo, inputs.labelled, inputs.info
    categories = set(pseudo.cats)
    pseudo_counts = _instances_of_images(pseudo, categories)
    labelled_counts = labelled and _instances_of_images(labelled, categories)
    classes = _classes(inputs)
    known = [c.labelled_per_image for c in classes if c.labelled_per_image is not None]
    labelled_mean = sum(known) if len(known) == len(classes) else None
    curve = info.get("foreground_at_threshold")
    per_image = len(pseudo.anns) / len(pseudo.imgs)
    empty = pseudo_counts.count(0)
    return Summary(
        images=len(pseudo.imgs),
        pseudo_labels=len(pseudo.anns),
        empty_images=empty,
        pseudo_per_image=per_image,
        labelled_per_image=labelled_mean,
        pseudo_counts=tuple(np.bincount(pseudo_counts).tolist()),
        labelled_counts=tuple(np.bincount(labelled_counts).tolist()) if labelled_counts else None,
        pixel_threshold=info.get("pixel_threshold"),
        labelled_foreground_fraction=info.get("labelled_foreground_fraction"),
        foreground_at_threshold=tuple(curve) if curve else None,
        classes=classes,
        warnings=tuple(_warnings(classes, per_image, labelled_mean, len(pseudo.imgs), empty)),
    )


def _classes(inputs: ReportInputs) -> tuple[ClassSummary, ...]:
    pseudo, labelled = inputs.pseudo, inputs.labelled
    scores: dict[int, list[float]] = {category: [] for category in pseudo.cats}
    for annotation in pseudo.anns.values():
        scores[annotation["category_id"]].append(annotation["score"])
    labelled_instances = dict.fromkeys(pseudo.cats, 0)
    for annotation in labelled.anns.values() if labelled else ():
        if annotation["category_id"] in labelled_instances and not annotation.get("iscrowd", 0):
            labelled_instances[annotation["category_id"]] += 1
    classes = []
    for category, entry in pseudo.cats.items():
        known = inputs.classes_info.get(entry["name"]) or {}
        own = scores[category]
        candidates = known.get("score_histogram")
        per_image = known.get("labelled_per_image")
        if labelled:
            per_image = labelled_instances[category] / max(len(labelled.imgs), 1)
        classes.append(
            ClassSummary(
                name=entry["name"],
                pseudo_labels=len(own),
                pseudo_per_image=len(own) / len(pseudo.imgs),
                labelled_per_image=per_image,
                box_threshold=known.get("box_threshold"),
                score_histogram=tuple(candidates or _histogram(own)),
                counts_candidates=bool(candidates),
            )
        )
    return tuple(classes)


def _instances_of_images(coco: COCO, categories: set[int]) -> list[int]:
    """Count the instances of each image that are of a category, crowds left out."""
    return [
        sum(a["category_id"] in categories and not a.get("iscrowd", 0) for a in coco.imgToAnns[i])
        for i in coco.imgs
    ]


def _histogram(scores: Iterable[float]) -> list[int]:
    edges = np.arange(HISTOGRAM_BINS + 1) / HISTOGRAM_BINS
    return np.histogram(list(scores), bins=edges)[0].tolist()


def _warnings(
    classes: Sequence[ClassSummary],
    per_image: float,
    labelled_per_image: float | None,
    images: int,
    empty: int,
) -> Iterator[str]:
    if labelled_per_image is not None:
        difference = abs(per_image - labelled_per_image)
        if difference > TOLERATED_DIFFERENCE * labelled_per_image:
            yield (
                f"There are {per_image:.2f} pseudo-labels an image but {labelled_per_image:.2f} "
                "labelled instances: the unlabelled images differ from the labelled ones, or the "
                "teacher is weak."
            )
    absent = [c.name for c in classes if c.labelled_per_image == 0]
    if absent:
        yield f"Absent from the labels: {_names(absent)}."
    few = [c.name for c in classes if c.pseudo_per_image < FEW * (c.labelled_per_image or 0)]
    if few:
        yield (
            f"Fewer than half as many pseudo-labels an image as are labelled: {_names(few)}. "
            "The teacher hardly finds them."
        )
    if empty > MANY_EMPTY * images:
        yield f"{empty} of {images} images have no pseudo-label: the student never sees them."


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
