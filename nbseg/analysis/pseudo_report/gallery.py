"""Which images a person should see, and how they are drawn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from nbseg.analysis.html import jpeg_uri
from nbseg.analysis.noise_analysis import ImageAgreement, NoiseAnalysis
from nbseg.analysis.pseudo_report.inputs import ReportInputs
from nbseg.visualization.annotations import draw_annotations

LONGEST_SIDE = 640  # of a picture; small images are enlarged to at least half of it
# Thin colored outlines would be washed out where color is stored at half the resolution.
JPEG_OPTIONS = [
    *(cv2.IMWRITE_JPEG_QUALITY, 80),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]


@dataclass(frozen=True)
class Tab:
    """Images that were chosen for one reason."""

    name: str
    title: str
    explanation: str
    images: tuple[int, ...]


@dataclass(frozen=True)
class Tile:
    """One drawn image.

    ``pictures`` are RGB, uint8, shape (H, W, 3), by caption: the pseudo-labels, and the truth where
    it is known.
    """

    image_id: int
    file_name: str
    facts: tuple[str, ...]
    pictures: dict[str, np.ndarray]


def choose_tabs(
    inputs: ReportInputs, noise: NoiseAnalysis | None, images_per_tab: int = 12, seed: int = 0
) -> tuple[Tab, ...]:
    """Choose the images to show, the most telling tab first.

    Args:
        inputs: the pseudo-labels.
        noise: their comparison with the truth; without it there is no tab of the worst.
        images_per_tab: at most.
        seed: of what is chosen at random.
    """
    annotations = inputs.pseudo.imgToAnns
    images = list(inputs.pseudo.imgs)
    counts = {image: len(annotations[image]) for image in images}
    empty = [image for image in images if not counts[image]]
    full = [image for image in images if counts[image]]
    means = {image: float(np.mean([a["score"] for a in annotations[image]])) for image in full}
    chance = random.Random(seed)
    # Of many empty images the first ones would leave no room for those with few pseudo-labels.
    room = max(images_per_tab // 2, images_per_tab - len(full))
    some_empty = sorted(chance.sample(empty, min(room, len(empty))))
    fewest = some_empty + sorted(full, key=counts.__getitem__)
    chosen = [
        Tab("lowest", "Lowest scores", "Lowest mean score first.", sorted(full, key=means.get)),
        Tab(
            "most",
            "Most",
            "Most pseudo-labels first.",
            sorted(full, key=lambda image: -counts[image]),
        ),
        Tab("fewest", "Fewest", "A sample of the empty images, then the fewest first.", fewest),
        Tab(
            "random",
            "Random",
            f"Drawn at random (seed {seed}).",
            chance.sample(images, min(images_per_tab, len(images))),
        ),
    ]
    if noise:
        known = [image for image in noise.per_image if image.quality is not None]
        known.sort(key=lambda image: (image.quality, -_errors(image)))
        explanation = "Lowest F1 × mean mask IoU against the hidden truth first."
        worst = [image.image_id for image in known]
        chosen.insert(0, Tab("worst", "Worst", explanation, worst))
    return tuple(
        Tab(tab.name, tab.title, tab.explanation, tuple(tab.images[:images_per_tab]))
        for tab in chosen
    )


def draw_tiles(
    inputs: ReportInputs, noise: NoiseAnalysis | None, images: tuple[int, ...]
) -> Iterator[Tile]:
    """Draw images with the outlines of their pseudo-labels, and of their truth where it is known.

    Raises:
        ValueError: an image cannot be read or has another size than the json says.
    """
    agreements = {image.image_id: image for image in noise.per_image} if noise else {}
    categories = list(inputs.pseudo.cats.values())
    for image_id in images:
        entry = inputs.pseudo.imgs[image_id]
        pixels = _read(inputs.image_folder, entry)
        size = _picture_size(entry["width"], entry["height"])
        found = inputs.pseudo.imgToAnns[image_id]
        facts = [_plural(len(found), "pseudo-label")]
        if found:
            scores = [annotation["score"] for annotation in found]
            span = "" if len(found) == 1 else f" – {max(scores):.2f}"
            facts.append(f"score {min(scores):.2f}{span}")
        thickness = round(max(size) / 220)
        panels = {"pseudo-labels": found}
        if image_id in agreements:
            known = inputs.pseudo.cats
            true = [a for a in inputs.truth.imgToAnns[image_id] if a["category_id"] in known]
            panels["truth"] = true
            facts += _facts(agreements[image_id])
        pictures = {
            caption: draw_annotations(
                pixels, annotations, categories, size, tint=0.0, thickness=thickness
            )[..., ::-1]
            for caption, annotations in panels.items()
        }
        yield Tile(image_id, entry["file_name"], tuple(facts), pictures)


def data_uri(picture: np.ndarray) -> str:
    """Encode an RGB picture, uint8 of shape (H, W, 3), as a data URI (JPEG)."""
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], JPEG_OPTIONS)
    return jpeg_uri(encoded.tobytes())


def _read(folder: Path, entry: dict) -> np.ndarray:
    pixels = cv2.imread(str(folder / entry["file_name"]))
    if pixels is None:
        raise ValueError(f"{folder / entry['file_name']} cannot be read as an image; replace it")
    if pixels.shape[:2] != (entry["height"], entry["width"]):
        raise ValueError(
            f"{folder / entry['file_name']} is {pixels.shape[1]} x {pixels.shape[0]} pixels, but "
            f"the json says {entry['width']} x {entry['height']}; give the folder of its images"
        )
    return pixels


def _picture_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a picture; pixels are enlarged by whole numbers, or reduced."""
    scale = LONGEST_SIDE / max(width, height)
    if scale >= 1:
        scale = int(scale)
    return max(1, round(scale * width)), max(1, round(scale * height))


def _facts(image: ImageAgreement) -> list[str]:
    counts = image.agreement
    facts = [
        f"{counts.true_positives} right, {counts.false_positives} wrong, "
        f"{counts.false_negatives} missed"
    ]
    if counts.f1 is not None:
        facts.append(f"F1 {counts.f1:.2f}")
    if image.mean_iou is not None:
        facts.append(f"mask IoU {image.mean_iou:.2f}")
    return facts


def _errors(image: ImageAgreement) -> int:
    return image.agreement.false_positives + image.agreement.false_negatives


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
