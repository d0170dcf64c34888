"""Write a comparison of two models: pictures, a self-contained HTML page, and a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from nbseg.analysis.comparison.differences import ImageDifference, compare_image
from nbseg.analysis.comparison.sources import (
    Instances,
    InstanceSource,
    coco_source,
    folder_images,
    open_instances,
)
from nbseg.analysis.html import jpeg_uri, render_page
from nbseg.analysis.mask_pairs import match_image
from nbseg.coco import load_coco
from nbseg.files import replacing
from nbseg.image_options import FOR_DISPLAY
from nbseg.images import read_image
from nbseg.visualization.annotations import draw_annotations
from nbseg.visualization.drawing import (
    Picture,
    captioned,
    display_size,
    encode_jpeg,
    resized,
    side_by_side,
)

PANEL_SIDE = 512  # longest side of a panel, in pixels
FILLED = 0.5  # opacity inside an object that the other model did not find


def write_comparison(
    models: dict[str, str],
    image_folder: str | Path,
    out: str | Path,
    truth_json: str | Path | None = None,
    min_score: float = 0.5,
    limit: int = 24,
) -> list[ImageDifference]:
    """Compare two models; write ``index.html``, ``comparison.csv`` and ``pictures/``.

    Each picture shows the image, the instances of both models, and the true instances if they are
    known. An instance that only one model found is filled with color. Pictures that an earlier
    comparison wrote to the same folder are deleted.

    Args:
        models: two entries. The key is the model's name, which must not be ``truth``. The value is
            the path of a json of predictions, the path of an ONNX model, or the paths of a config
            and a checkpoint in the form ``CONFIG.py:CHECKPOINT``.
        image_folder: folder that the images' file names are relative to. If ``truth_json`` or a
            json of predictions is given, the images that the jsons list are compared. Otherwise,
            all images in the folder are compared.
        out: folder to write to.
        truth_json: COCO json of the images, with or without true instances; None if there is no
            such json.
        min_score: predictions with a lower score are left out.
        limit: largest number of pictures, at least 1.

    Returns:
        One entry per image, the most different images first (see ``ImageDifference.order``).

    Raises:
        FileNotFoundError: a file or an image is missing.
        ValueError: there are not exactly two models, a model is named ``truth``, ``limit`` is not
            positive, the models predicted different images, a list of COCO results is given without
            ``truth_json``, or a file is invalid.
    """
    image_folder, out = Path(image_folder), Path(out)
    if len(models) != 2:
        raise ValueError(
            f"expected two models with distinct names, found {list(models)}; give exactly two "
            "models, each with its own name"
        )
    if limit < 1:
        raise ValueError(f"limit (the number of pictures) must be at least 1, found {limit}")
    if not image_folder.is_dir():
        raise FileNotFoundError(f"there is no image folder {image_folder}; correct the path")
    if "truth" in models:
        raise ValueError(
            "a model has the name 'truth', which is reserved for the panel of the true instances; "
            "rename the model 'truth'"
        )
    truth_path = Path(truth_json) if truth_json else None
    truth = load_coco(truth_path, masks=True) if truth_path else None
    sources = {
        name: open_instances(text, image_folder, truth, truth_path) for name, text in models.items()
    }
    if truth:
        # Put the truth first. Then the classes of the truth get the first indices and colors, and
        # the images of the truth, not all images in the folder, are compared.
        true_instances = coco_source(truth, list(truth.anns.values()), image_folder)
        sources = {"truth": true_instances, **sources}
    images = _same_images(sources, image_folder)
    classes = list(dict.fromkeys(name for source in sources.values() for name in source.classes))
    has_truth = bool(truth and truth.anns)

    drawn_before = _pictures(out)
    differences, instances = [], {}
    for name, height, width in track(images, "comparing", console=Console(stderr=True)):
        instances_of = {
            key: _renumbered(source, name, classes, min_score) for key, source in sources.items()
        }
        a, b = (instances_of[key] for key in models)
        true_of_image = instances_of["truth"] if has_truth else None
        differences.append(compare_image(name, a, b, true_of_image, height, width))
        instances[name] = instances_of, height, width
    differences.sort(key=lambda difference: difference.order)

    categories = [{"id": i, "name": name} for i, name in enumerate(classes)]
    tiles = []
    shown = differences[:limit]
    for rank, image in enumerate(track(shown, "drawing", console=Console(stderr=True)), start=1):
        instances_of, height, width = instances[image.file_name]
        pixels = read_image(image_folder / image.file_name, (height, width), FOR_DISPLAY)
        panels = {key: instances_of[key] for key in [*models, *(["truth"] if has_truth else [])]}
        jpeg = encode_jpeg(_picture(pixels, panels, categories))
        stem = Path(image.file_name).with_suffix("").as_posix().replace("/", "_")
        path = out / "pictures" / f"{rank:03d}-{stem}.jpg"
        with replacing(path) as temporary:
            temporary.write_bytes(jpeg)
        tiles.append((image, path.relative_to(out).as_posix(), jpeg_uri(jpeg)))
    _write_csv(differences, [picture for _, picture, _ in tiles], out / "comparison.csv")
    with replacing(out / "index.html") as temporary:
        temporary.write_text(_render(models, differences, tiles, min_score), encoding="utf-8")
    # Delete pictures of an earlier comparison in this folder that were not overwritten.
    for picture in drawn_before - {out / picture for _, picture, _ in tiles}:
        picture.unlink(missing_ok=True)
    return differences


def _pictures(out: Path) -> set[Path]:
    """Return the paths of the pictures that an earlier ``comparison.csv`` in ``out`` lists."""
    table = out / "comparison.csv"
    if not table.is_file():
        return set()
    with table.open(newline="") as file:
        listed = {row.get("picture") or "" for row in csv.DictReader(file)}
    return {out / "pictures" / Path(name).name for name in listed if name}


def _same_images(
    sources: dict[str, InstanceSource], image_folder: Path
) -> tuple[tuple[str, int, int], ...]:
    """Return the file name, height and width of each image to compare.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: the sources list different images.
    """
    known = {name: source.images for name, source in sources.items() if source.images is not None}
    if not known:
        return folder_images(image_folder)
    (first, images), *others = known.items()
    for name, other in others:
        if set(other) != set(images):
            alone = sorted(set(other) ^ set(images))
            raise ValueError(
                f"expected {first} and {name} to list the same images with the same sizes, found "
                f"{len(images)} and {len(other)} images; {len({image[0] for image in alone})} "
                f"images are missing in one list or differ in size, for example {alone[0][0]}; "
                "compare predictions of the same images"
            )
    absent = [name for name, _, _ in images if not (image_folder / name).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} of {len(images)} images are not in {image_folder}, for example "
            f"{absent[0]}; give the folder that these file names are relative to"
        )
    return images


def _renumbered(
    source: InstanceSource, file_name: str, classes: Sequence[str], min_score: float
) -> Instances:
    """Return a model's or the truth's instances of an image, without those below ``min_score``.

    ``category_id`` becomes an index into ``classes``. Instances without a score are kept.
    """
    class_index = [classes.index(name) for name in source.classes]
    return [
        {**instance, "category_id": class_index[instance["category_id"]]}
        for instance in source.instances(file_name)
        if instance.get("score", 1.0) >= min_score
    ]


def _picture(
    pixels: Picture, panels: dict[str, Instances], categories: Sequence[dict[str, Any]]
) -> Picture:
    """Return a picture that shows the image alone and the instances of each panel, side by side.

    The first two panels are the models. Instances that only one of the models found are filled with
    color.

    Args:
        pixels: the image.
        panels: the instances of each panel by caption.
        categories: COCO categories of the instances.
    """
    height, width = pixels.shape[:2]
    size = display_size(width, height, PANEL_SIDE)
    a, b = list(panels.values())[:2]
    matches = match_image(a, b, height, width)
    alone = {id(instance) for instance in matches.false_positives + matches.false_negatives}
    tiles = [captioned(resized(pixels, size), "image")]
    for caption, instances in panels.items():
        tints = [FILLED if id(instance) in alone else 0.0 for instance in instances]
        drawn = draw_annotations(pixels, instances, categories, size, tints, thickness=2)
        tiles.append(captioned(drawn, f"{caption} ({len(instances)})"))
    return side_by_side(tiles, gap=4)


def _write_csv(differences: Sequence[ImageDifference], pictures: Sequence[str], path: Path) -> None:
    """Write one row per image, in the order of ``differences``; None becomes an empty cell."""
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
