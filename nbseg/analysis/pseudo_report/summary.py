"""Compute the statistics of pseudo-labels that do not need the true annotations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO

from nbseg.analysis.pseudo_report.inputs import ReportInputs

HISTOGRAM_BINS = 100
# Warn if the pseudo-labels per image differ from the instances per labeled image by more than this
# share of the instances per labeled image. ``make_pseudo_labels`` warns at the same share.
TOLERATED_DIFFERENCE = 0.2
FEW = 0.5  # warn of a class with a smaller ratio of pseudo-labels to labeled instances per image
MANY_EMPTY = 0.2  # warn if a larger share of the images has no pseudo-label
MOST_NAMES = 8  # largest number of names in a warning


@dataclass(frozen=True)
class ClassSummary:
    """Holds numbers about the pseudo-labels of one class; unknown values are None.

    Attributes:
        name: name of the class.
        pseudo_labels: number of pseudo-labels.
        pseudo_per_image: mean number of pseudo-labels in an image.
        labeled_per_image: mean number of labeled instances in a labeled image.
        box_threshold: lowest score of a pseudo-label, from ``info`` in the pseudo-labels' json.
        score_histogram: counts in 100 bins of scores of width 0.01; the last bin includes the score
            1.
        counts_candidates: whether the histogram counts candidates, which are all predictions that
            can become pseudo-labels, even with a score below the box threshold. If False, the json
            has no such histogram, and the histogram counts the pseudo-labels.
    """

    name: str
    pseudo_labels: int
    pseudo_per_image: float
    labeled_per_image: float | None
    box_threshold: float | None
    score_histogram: tuple[int, ...]
    counts_candidates: bool


@dataclass(frozen=True)
class PseudoLabelSummary:
    """Holds numbers about all pseudo-labels.

    Some values come from ``info`` in the pseudo-labels' json. They are None if ``info`` lacks them.
    The result of ``dataclasses.asdict`` can be written as json.

    Attributes:
        images: number of images in the pseudo-labels' json.
        pseudo_labels: number of pseudo-labels.
        empty_images: number of images without a pseudo-label.
        pseudo_per_image: mean number of pseudo-labels in an image.
        labeled_per_image: mean number of labeled instances in a labeled image, from the labeled
            json or from ``info``; None if neither has this number.
        pseudo_counts: entry n is the number of images with n pseudo-labels, for n = 0, 1, 2 ...
        labeled_counts: entry n is the number of labeled images with n instances, not counting
            crowds; None if there is no labeled json.
        pixel_threshold: lowest probability of a foreground pixel in a pseudo-label, from ``info``.
        labeled_foreground_fraction: share of foreground inside the labeled boxes, from ``info``.
        foreground_at_threshold: share of foreground inside the pseudo-labels' boxes at the pixel
            thresholds 0/255, 1/255 ... 255/255, from ``info``.
        classes: the numbers of each class, in the order of the json.
        warnings: warnings as sentences.
    """

    images: int
    pseudo_labels: int
    empty_images: int
    pseudo_per_image: float
    labeled_per_image: float | None
    pseudo_counts: tuple[int, ...]
    labeled_counts: tuple[int, ...] | None
    pixel_threshold: float | None
    labeled_foreground_fraction: float | None
    foreground_at_threshold: tuple[float, ...] | None
    classes: tuple[ClassSummary, ...]
    warnings: tuple[str, ...]


def summarize(inputs: ReportInputs) -> PseudoLabelSummary:
    """Return statistics of pseudo-labels, and warnings if they look wrong.

    Some warnings compare the pseudo-labels with the labeled images. If the number of instances per
    labeled image is unknown, these warnings are left out.
    """
    pseudo, labeled, info = inputs.pseudo, inputs.labeled, inputs.info
    categories = set(pseudo.cats)
    pseudo_counts = _instances_of_images(pseudo, categories)
    labeled_counts = labeled and _instances_of_images(labeled, categories)
    classes = _classes(inputs)
    known = [c.labeled_per_image for c in classes if c.labeled_per_image is not None]
    labeled_mean = sum(known) if len(known) == len(classes) else None
    curve = info.get("foreground_at_threshold")
    per_image = len(pseudo.anns) / len(pseudo.imgs)
    empty = pseudo_counts.count(0)
    return PseudoLabelSummary(
        images=len(pseudo.imgs),
        pseudo_labels=len(pseudo.anns),
        empty_images=empty,
        pseudo_per_image=per_image,
        labeled_per_image=labeled_mean,
        pseudo_counts=tuple(np.bincount(pseudo_counts).tolist()),
        labeled_counts=tuple(np.bincount(labeled_counts).tolist()) if labeled_counts else None,
        pixel_threshold=info.get("pixel_threshold"),
        labeled_foreground_fraction=info.get("labeled_foreground_fraction"),
        foreground_at_threshold=tuple(curve) if curve else None,
        classes=classes,
        warnings=(
            *_left_out(info.get("left_out") or ()),
            *_warnings(classes, per_image, labeled_mean, len(pseudo.imgs), empty),
        ),
    )


def _classes(inputs: ReportInputs) -> tuple[ClassSummary, ...]:
    pseudo, labeled = inputs.pseudo, inputs.labeled
    scores: dict[int, list[float]] = {category: [] for category in pseudo.cats}
    for annotation in pseudo.anns.values():
        scores[annotation["category_id"]].append(annotation["score"])
    labeled_instances = dict.fromkeys(pseudo.cats, 0)
    for annotation in labeled.anns.values() if labeled else ():
        if annotation["category_id"] in labeled_instances and not annotation.get("iscrowd", 0):
            labeled_instances[annotation["category_id"]] += 1
    classes = []
    for category, entry in pseudo.cats.items():
        info = inputs.classes_info.get(entry["name"]) or {}
        class_scores = scores[category]
        candidates = info.get("score_histogram")
        per_image = info.get("labeled_per_image")
        if labeled:
            per_image = labeled_instances[category] / max(len(labeled.imgs), 1)
        classes.append(
            ClassSummary(
                name=entry["name"],
                pseudo_labels=len(class_scores),
                pseudo_per_image=len(class_scores) / len(pseudo.imgs),
                labeled_per_image=per_image,
                box_threshold=info.get("box_threshold"),
                score_histogram=tuple(candidates or _histogram(class_scores)),
                counts_candidates=bool(candidates),
            )
        )
    return tuple(classes)


def _instances_of_images(coco: COCO, categories: set[int]) -> list[int]:
    """Count the instances of these categories in each image, without crowds."""
    return [
        sum(a["category_id"] in categories and not a.get("iscrowd", 0) for a in coco.imgToAnns[i])
        for i in coco.imgs
    ]


def _histogram(scores: Iterable[float]) -> list[int]:
    edges = np.arange(HISTOGRAM_BINS + 1) / HISTOGRAM_BINS
    counts, _ = np.histogram(list(scores), bins=edges)
    return [int(count) for count in counts]


def _left_out(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{len(names)} unlabeled images could not be read and are left out: {_names(names)}."


def _warnings(
    classes: Sequence[ClassSummary],
    per_image: float,
    labeled_per_image: float | None,
    images: int,
    empty: int,
) -> Iterator[str]:
    if labeled_per_image is not None:
        difference = abs(per_image - labeled_per_image)
        if difference > TOLERATED_DIFFERENCE * labeled_per_image:
            yield (
                f"There are {per_image:.2f} pseudo-labels per image but {labeled_per_image:.2f} "
                "instances per labeled image. Possible reasons: the unlabeled images differ from "
                "the labeled images; the teacher is weak; label.box_threshold or label.floor is "
                "badly chosen."
            )
    absent = [c.name for c in classes if c.labeled_per_image == 0]
    if absent:
        yield (
            f"No labeled image has an instance of these classes: {_names(absent)}. Label images "
            "that show these classes."
        )
    few = [c.name for c in classes if c.pseudo_per_image < FEW * (c.labeled_per_image or 0)]
    if few:
        yield (
            f"The teacher rarely finds objects of these classes: {_names(few)}. Each class has "
            "fewer than half as many pseudo-labels per image as instances per labeled image. Label "
            "more images that show these classes."
        )
    if empty > MANY_EMPTY * images:
        yield f"{empty} of {images} images have no pseudo-label, so the student never sees them."


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
