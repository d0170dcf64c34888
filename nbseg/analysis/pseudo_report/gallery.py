"""Choose the images that a report on pseudo-labels shows, and draw them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nbseg.analysis.noise_analysis import ImageAgreement, NoiseAnalysis
from nbseg.analysis.pseudo_report.inputs import ReportInputs
from nbseg.image_options import for_display
from nbseg.images import read_image
from nbseg.visualization.annotations import draw_annotations
from nbseg.visualization.drawing import Picture, display_size

# Upper limit of a picture's longer side in pixels. Small images are enlarged so that their longer
# side has at least half of this length.
LONGEST_SIDE = 640


@dataclass(frozen=True)
class Tab:
    """Describes a tab of the gallery: images that were chosen by one criterion.

    ``name`` identifies the tab, ``title`` and ``explanation`` are shown on the page, and ``images``
    holds the image ids in the order of the tab.
    """

    name: str
    title: str
    explanation: str
    images: tuple[int, ...]


@dataclass(frozen=True)
class Tile:
    """Holds a tile of the gallery: one image with its annotations.

    ``facts`` are short phrases about the image, such as "3 pseudo-labels". ``pictures`` has a
    picture of the pseudo-labels and, if the truth is known, a picture of the true instances. The
    keys of ``pictures`` are captions, and the values are RGB, uint8, shape (H, W, 3).
    """

    image_id: int
    file_name: str
    facts: tuple[str, ...]
    pictures: dict[str, Picture]


def choose_tabs(
    inputs: ReportInputs, noise: NoiseAnalysis | None, images_per_tab: int = 12, seed: int = 0
) -> tuple[Tab, ...]:
    """Choose the images of each tab of the gallery.

    Args:
        inputs: the report's inputs.
        noise: comparison of the pseudo-labels with the truth. None leaves out the tab "Worst",
            which has the images with the lowest panoptic quality.
        images_per_tab: largest number of images in a tab.
        seed: seed of the random choices.

    Returns:
        The tabs in the order of the page: "Worst" if ``noise`` is given, then the images with the
        lowest mean scores, the most and the fewest pseudo-labels, and random images.
    """
    annotations = inputs.pseudo.imgToAnns
    images = list(inputs.pseudo.imgs)
    counts = {image: len(annotations[image]) for image in images}
    empty = [image for image in images if not counts[image]]
    full = [image for image in images if counts[image]]
    means = {image: float(np.mean([a["score"] for a in annotations[image]])) for image in full}
    chance = random.Random(seed)
    # Take only some of the empty images, so that images with few pseudo-labels are shown, too.
    room = max(images_per_tab // 2, images_per_tab - len(full))
    some_empty = sorted(chance.sample(empty, min(room, len(empty))))
    fewest = (*some_empty, *sorted(full, key=counts.__getitem__))
    chosen = [
        Tab(
            "lowest",
            "Lowest scores",
            "Lowest mean score first.",
            tuple(sorted(full, key=means.__getitem__)),
        ),
        Tab(
            "most",
            "Most",
            "Most pseudo-labels first.",
            tuple(sorted(full, key=lambda image: -counts[image])),
        ),
        Tab(
            "fewest",
            "Fewest",
            "First some images without pseudo-labels, then images with the fewest pseudo-labels.",
            fewest,
        ),
        Tab(
            "random",
            "Random",
            f"Drawn at random (seed {seed}).",
            tuple(chance.sample(images, min(images_per_tab, len(images)))),
        ),
    ]
    if noise:
        known = [image for image in noise.per_image if image.quality is not None]
        known.sort(key=lambda image: (image.quality, -_errors(image)))
        explanation = (
            "Lowest panoptic quality first: F1 × mean mask IoU, measured against the hidden truth."
        )
        worst = tuple(image.image_id for image in known)
        chosen.insert(0, Tab("worst", "Worst", explanation, worst))
    return tuple(
        Tab(tab.name, tab.title, tab.explanation, tab.images[:images_per_tab]) for tab in chosen
    )


def draw_tiles(
    inputs: ReportInputs, noise: NoiseAnalysis | None, images: tuple[int, ...]
) -> Iterator[Tile]:
    """Yield a tile for each image, with outlines of pseudo-labels and of known true instances.

    Args:
        inputs: the report's jsons and image folder.
        noise: comparison with the truth; None if there is no truth.
        images: ids of the images to draw.

    Raises:
        ValueError: an image cannot be read, or its size is not the size in the json.
    """
    agreements = {image.image_id: image for image in noise.per_image} if noise else {}
    categories = list(inputs.pseudo.cats.values())
    for image_id in images:
        entry = inputs.pseudo.imgs[image_id]
        pixels = read_image(
            inputs.image_folder / entry["file_name"],
            (entry["height"], entry["width"]),
            for_display(inputs.image_options),
        )
        size = display_size(entry["width"], entry["height"], LONGEST_SIDE)
        pseudo_labels = inputs.pseudo.imgToAnns[image_id]
        facts = [_plural(len(pseudo_labels), "pseudo-label")]
        if pseudo_labels:
            scores = [annotation["score"] for annotation in pseudo_labels]
            span = "" if len(scores) == 1 else f" – {max(scores):.2f}"
            facts.append(f"score {min(scores):.2f}{span}")
        thickness = round(max(size) / 220)
        panels = {"pseudo-labels": pseudo_labels}
        if inputs.truth and image_id in agreements:
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
