"""Compute the numbers of the pseudo-label report for each kind of image, such as a modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pycocotools.coco import COCO

from nbseg.analysis.matching import Agreement
from nbseg.analysis.noise_analysis import NoiseAnalysis
from nbseg.analysis.pseudo_report.inputs import ReportInputs

# A key with more distinct values than this, such as a date, is not treated as a kind.
MOST_KINDS = 50


@dataclass(frozen=True)
class KindSummary:
    """Holds numbers about the images of one kind; unknown values are None.

    Attributes:
        name: the kind, which is the value of the key ``ReportInputs.kind_key`` in the json.
        labeled_images: number of labeled images of this kind.
        labeled_per_image: mean number of instances in a labeled image of this kind, not counting
            crowds.
        images: number of images of this kind in the pseudo-labels' json.
        empty_images: number of images of this kind without a pseudo-label.
        pseudo_per_image: mean number of pseudo-labels per image of this kind.
        agreement: precision, recall and F1 at mask IoU 0.5; None if the truth is unknown.
    """

    name: str
    labeled_images: int | None
    labeled_per_image: float | None
    images: int
    empty_images: int
    pseudo_per_image: float
    agreement: Agreement | None


def summarize_kinds(inputs: ReportInputs, noise: NoiseAnalysis | None) -> tuple[KindSummary, ...]:
    """Summarize the pseudo-labels of each kind of image, the most frequent kind first.

    The kind of an image is the value of the key ``inputs.kind_key`` in the image's entry in the
    pseudo-labels' json. If this entry lacks the key, the kind is read from the image's entry in the
    json of the true annotations. Images without a kind are left out. The result is empty if no
    image has a kind, or if there are more than 50 kinds.
    """
    key = inputs.kind_key
    kind_of = {
        i: _kind(inputs.pseudo, i, key) or _kind(inputs.truth, i, key) for i in inputs.pseudo.imgs
    }
    labeled = inputs.labeled
    labeled_kind_of = {i: _kind(labeled, i, key) for i in labeled.imgs} if labeled else {}
    names = {name for name in kind_of.values() if name is not None}
    if not 0 < len(names) <= MOST_KINDS:
        return ()
    agreements = {image.image_id: image.agreement for image in noise.per_image} if noise else {}
    kinds = []
    for name in names:
        images = [image for image, kind in kind_of.items() if kind == name]
        known = [agreements[image] for image in images if image in agreements]
        examples = [image for image, kind in labeled_kind_of.items() if kind == name]
        counts = [len(inputs.pseudo.imgToAnns[image]) for image in images]
        instances = sum(_instances(labeled, image) for image in examples) if labeled else 0
        kinds.append(
            KindSummary(
                name=name,
                labeled_images=len(examples) if labeled else None,
                labeled_per_image=instances / len(examples) if examples else None,
                images=len(images),
                empty_images=counts.count(0),
                pseudo_per_image=sum(counts) / len(images),
                agreement=_sum(known) if known else None,
            )
        )
    return tuple(sorted(kinds, key=lambda kind: (-kind.images, kind.name)))


def kind_warnings(kinds: tuple[KindSummary, ...]) -> tuple[str, ...]:
    """Return a tuple with a warning about the kinds that have no labeled image.

    The tuple is empty if every kind has a labeled image, or if the labeled images are unknown.
    """
    missing = [kind for kind in kinds if kind.labeled_images == 0]
    if not missing:
        return ()
    names = " or ".join(f"{kind.name} ({kind.images} unlabeled images)" for kind in missing)
    return (
        f"No labeled image is of the kind {names}. The teacher never saw such images; label two "
        "images of each kind.",
    )


def _kind(coco: COCO | None, image: int, key: str) -> str | None:
    entry: dict[str, Any] = coco.imgs.get(image) or {} if coco else {}
    value = entry.get(key)
    return None if value is None else str(value)


def _instances(coco: COCO, image: int) -> int:
    return sum(not annotation.get("iscrowd", 0) for annotation in coco.imgToAnns[image])


def _sum(agreements: list[Agreement]) -> Agreement:
    return Agreement.of(
        sum(a.true_positives for a in agreements),
        sum(a.false_positives for a in agreements),
        sum(a.false_negatives for a in agreements),
    )
