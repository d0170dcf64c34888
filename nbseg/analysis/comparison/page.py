"""Writes a comparison: pictures, a page that needs nothing beside it, and a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from nbseg.analysis.comparison.differences import ImageDifference, compare_image
from nbseg.analysis.comparison.sources import (
    Instances,
    Source,
    coco_source,
    folder_images,
    open_source,
    read_image,
)
from nbseg.analysis.html import jpeg_uri, render_page
from nbseg.analysis.mask_pairs import match_image
from nbseg.analysis.pseudo_report.gallery import JPEG_OPTIONS
from nbseg.coco import read_coco
from nbseg.files import replacing
from nbseg.visualization.annotations import captioned, draw_annotations, resized

PANEL_SIDE = 512  # longest side of a panel; smaller images are enlarged by whole numbers
FILLED = 0.5


def write_comparison(
    models: dict[str, str],
    image_folder: str | Path,
    out: str | Path,
    truth_json: str | Path | None = None,
    min_score: float = 0.5,
    limit: int = 24,
) -> list[ImageDifference]:
    """Write ``index.html``, ``comparison.csv`` and ``pictures/`` about two models.

    The pictures show the image, both models' instances, and the truth where it is given; an
    instance that the other model lacks is filled.

    Args:
        models: by name, two texts for ``open_source``.
        image_folder: where file names begin; its images if neither files nor truth name any.
        out: folder of what is written.
        truth_json: COCO json of the images, with true instances or none.
        min_score: predictions below it are left out.
        limit: pictures.

    Returns:
        The images, the most different first: by the difference of panoptic quality where the truth
        has instances, then by what the masks differ.

    Raises:
        FileNotFoundError: a file or an image is not there.
        ValueError: the models are not two, are of different images, or a file is of another form.
    """
    image_folder, out = Path(image_folder), Path(out)
    if len(models) != 2:
        raise ValueError(f"wanted two models of different names, found {list(models)}")
    if limit < 1:
        raise ValueError(f"the number of pictures must be at least 1, found {limit}")
    if not image_folder.is_dir():
        raise FileNotFoundError(f"there is no image folder {image_folder}")
    if "truth" in models:
        raise ValueError("no model may be named 'truth'; that is what --truth shows")
    truth_path = Path(truth_json) if truth_json else None
    truth = read_coco(truth_path) if truth_path else None
    sources = {
        name: open_source(text, image_folder, truth, truth_path) for name, text in models.items()
    }
    if truth:
        # Its images come before those of a folder, and its classes before others.
        known = coco_source(truth, list(truth.anns.values()), image_folder)
        sources = {"truth": known, **sources}
    images = _same_images(sources, image_folder)
    classes = list(dict.fromkeys(name for source in sources.values() for name in source.classes))
    has_truth = bool(truth and truth.anns)

    drawn_before = _pictures(out)
    differences, instances = [], {}
    for name, height, width in track(images, "comparing", console=Console(stderr=True)):
        own = {
            key: _renumbered(source, name, classes, min_score) for key, source in sources.items()
        }
        a, b = (own[key] for key in models)
        differences.append(
            compare_image(name, a, b, own["truth"] if has_truth else None, height, width)
        )
        instances[name] = own, height, width
    differences.sort(key=lambda difference: difference.order)

    categories = [{"id": i, "name": name} for i, name in enumerate(classes)]
    tiles = []
    shown = differences[:limit]
    for rank, image in enumerate(track(shown, "drawing", console=Console(stderr=True)), start=1):
        own, height, width = instances[image.file_name]
        pixels = read_image(image_folder / image.file_name, height, width)
        panels = {key: own[key] for key in [*models, *(["truth"] if has_truth else [])]}
        _, encoded = cv2.imencode(".jpg", _picture(pixels, panels, categories), JPEG_OPTIONS)
        stem = Path(image.file_name).with_suffix("").as_posix().replace("/", "_")
        path = out / "pictures" / f"{rank:03d}-{stem}.jpg"
        with replacing(path) as temporary:
            temporary.write_bytes(encoded.tobytes())
        tiles.append((image, path.relative_to(out).as_posix(), jpeg_uri(encoded.tobytes())))
    _write_csv(differences, [picture for _, picture, _ in tiles], out / "comparison.csv")
    with replacing(out / "index.html") as temporary:
        temporary.write_text(_render(models, differences, tiles, min_score), encoding="utf-8")
    # Ranks of an earlier comparison in this folder, whose order may have been another.
    for picture in drawn_before - {out / picture for _, picture, _ in tiles}:
        picture.unlink(missing_ok=True)
    return differences


def _pictures(out: Path) -> set[Path]:
    """Those of an earlier comparison, as its table lists them: the folder may have others."""
    table = out / "comparison.csv"
    if not table.is_file():
        return set()
    with table.open(newline="") as file:
        listed = {row.get("picture") or "" for row in csv.DictReader(file)}
    return {out / "pictures" / Path(name).name for name in listed if name}


def _same_images(
    sources: dict[str, Source], image_folder: Path
) -> tuple[tuple[str, int, int], ...]:
    """Return the images that all are of; refuse what is of different ones."""
    known = {name: source.images for name, source in sources.items() if source.images is not None}
    if not known:
        return folder_images(image_folder)
    (first, images), *others = known.items()
    for name, other in others:
        if set(other) != set(images):
            alone = sorted(set(other) ^ set(images))
            raise ValueError(
                f"{first} is of {len(images)} images and {name} of {len(other)}; {len(alone)} "
                f"are in one of them only or of another size, for one {alone[0][0]}; compare "
                "predictions of the same images"
            )
    absent = [name for name, _, _ in images if not (image_folder / name).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} of {len(images)} images are not in {image_folder}, for one "
            f"{absent[0]}; give the folder where file names begin"
        )
    return images


def _renumbered(
    source: Source, file_name: str, classes: Sequence[str], min_score: float
) -> Instances:
    """Return a source's instances of an image with the classes' common numbers."""
    places = [classes.index(name) for name in source.classes]
    return [
        {**instance, "category_id": places[instance["category_id"]]}
        for instance in source.instances(file_name)
        if instance.get("score", 1.0) >= min_score
    ]


def _picture(
    pixels: np.ndarray, panels: dict[str, Instances], categories: Sequence[dict]
) -> np.ndarray:
    """Put the image, both models' instances and the truth side by side."""
    height, width = pixels.shape[:2]
    scale = PANEL_SIDE / max(height, width)
    scale = int(scale) if scale >= 1 else scale
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    a, b = list(panels.values())[:2]
    matches = match_image(a, b, height, width)
    alone = {id(instance) for instance in matches.unmatched_found + matches.unmatched_wanted}
    gap = np.full((size[1] + 18, 4, 3), 32, np.uint8)
    tiles = [captioned(resized(pixels, size), "image")]
    for caption, instances in panels.items():
        tints = [FILLED if id(instance) in alone else 0.0 for instance in instances]
        drawn = draw_annotations(pixels, instances, categories, size, tints, thickness=2)
        tiles += [gap, captioned(drawn, f"{caption} ({len(instances)})")]
    return np.hstack(tiles)


def _write_csv(differences: Sequence[ImageDifference], pictures: Sequence[str], path: Path) -> None:
    """Write a row an image in their order; what is not known is empty."""
    names = [field.name for field in fields(ImageDifference)]
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["rank", *names, "picture"])
        writer.writeheader()
        for rank, difference in enumerate(differences, start=1):
            picture = pictures[rank - 1] if rank <= len(pictures) else None
            writer.writerow({"rank": rank, **asdict(difference), "picture": picture})


def _render(
    models: dict[str, str],
    differences: Sequence[ImageDifference],
    tiles: Sequence[tuple[ImageDifference, str, str]],
    min_score: float,
) -> str:
    gains = [difference.gain for difference in differences if difference.gain is not None]
    return render_page(
        "nbseg.analysis.comparison",
        models=models,
        names=list(models),
        differences=differences,
        tiles=tiles,
        gains=gains,
        min_score=min_score,
    )
