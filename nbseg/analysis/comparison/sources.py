"""What can be compared: files of predictions, checkpoints and exported models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools.coco import COCO

from nbseg.analysis.prediction_files import check_results, read_predictions_json
from nbseg.coco import read_coco
from nbseg.datasets.image_files import image_names, image_size
from nbseg.deploy.coco_predictions import CocoPredictions

Instances = list[dict[str, Any]]  # COCO annotations whose category_id is a class's place


@dataclass(frozen=True)
class Source:
    """One side of a comparison.

    Attributes:
        classes: names.
        images: file name, height and width of what was predicted; None if it can be any image.
        instances: gives those of an image's file name, with ``category_id`` the place in
            ``classes``; a model reads the image then.
    """

    classes: tuple[str, ...]
    images: tuple[tuple[str, int, int], ...] | None
    instances: Callable[[str], Instances]


def open_source(
    text: str, image_folder: Path, truth: COCO | None, truth_path: Path | None
) -> Source:
    """Open a json of predictions, ``CONFIG:CHECKPOINT`` or ``MODEL.onnx``.

    Args:
        text: what is named on the command line.
        image_folder: where file names begin.
        truth: COCO's list of results has its ids of images and classes.
        truth_path: for messages.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file of another form, or a list of results without the truth.
    """
    config, colon, checkpoint = text.rpartition(".py:")
    if colon:
        return _model_source(_checkpoint_segmenter(config + ".py", checkpoint), image_folder)
    if Path(text).suffix == ".onnx":
        from nbseg.deploy.runtime import Segmenter  # needs ONNX Runtime

        return _model_source(Segmenter(text), image_folder)
    path = Path(text)
    content = read_predictions_json(path)
    if isinstance(content, list):
        if truth is None:
            raise ValueError(
                f"{path} is a list of results, which does not say which images and classes they "
                "are of; give their json as --truth"
            )
        check_results(content, path, truth, truth_path)
        return coco_source(truth, content, image_folder)
    coco = read_coco(path)
    return coco_source(coco, list(coco.anns.values()), image_folder)


def coco_source(coco: COCO, annotations: Instances, image_folder: Path) -> Source:
    """Return annotations with the images and classes of a COCO json."""
    place = {category: i for i, category in enumerate(coco.cats)}
    names = {i: _below(image["file_name"], image_folder) for i, image in coco.imgs.items()}
    by_name: dict[str, Instances] = defaultdict(list)
    for annotation in annotations:
        own = {**annotation, "category_id": place[annotation["category_id"]]}
        by_name[names[annotation["image_id"]]].append(own)
    return Source(
        tuple(category["name"] for category in coco.cats.values()),
        tuple((names[i], image["height"], image["width"]) for i, image in coco.imgs.items()),
        lambda name: by_name.get(name, []),
    )


def folder_images(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return file name, height and width of every image below a folder.

    Raises:
        ValueError: there is none, or one cannot be read.
    """
    images = []
    for name in image_names(folder):
        size = image_size(folder / name)
        if size is None:
            raise ValueError(f"{folder / name} cannot be read as an image; replace or remove it")
        images.append((name, *size))
    if not images:
        raise ValueError(f"there is no image in {folder}")
    return tuple(images)


def read_image(path: Path, height: int, width: int) -> np.ndarray:
    """Read an image of a known size, BGR, uint8 (H, W, 3).

    Raises:
        ValueError: it cannot be read or has another size.
    """
    pixels = cv2.imread(str(path))
    if pixels is None:
        raise ValueError(f"{path} cannot be read as an image; replace it")
    if pixels.shape[:2] != (height, width):
        raise ValueError(
            f"{path} is {pixels.shape[1]} x {pixels.shape[0]} pixels, but {width} x {height} are "
            "wanted; give the folder of the images that were predicted"
        )
    return pixels


def _checkpoint_segmenter(config: str, checkpoint: str) -> Any:
    from mmengine.config import Config

    from nbseg.config.stage_config import stage_config
    from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter

    if not Path(config).is_file():
        raise FileNotFoundError(f"there is no config {config}")
    plain = stage_config(Config.fromfile(config), "student", "work_dirs/analyze")
    return CheckpointSegmenter(plain, checkpoint)


def _model_source(segmenter: Any, image_folder: Path) -> Source:
    def instances(name: str) -> Instances:
        pixels = cv2.imread(str(image_folder / name))
        if pixels is None:
            raise ValueError(f"{image_folder / name} cannot be read as an image; replace it")
        found = CocoPredictions(segmenter.classes)
        found.add(pixels, segmenter(pixels), 0.0, file_name=name)
        return [{**a, "category_id": a["category_id"] - 1} for a in found.annotations]

    return Source(tuple(segmenter.classes), None, instances)


def _below(name: str, folder: Path) -> str:
    """Return a file name that begins in the folder; tools/infer.py writes the whole path."""
    path = Path(name)
    if path.is_absolute() or path.exists():
        try:
            return path.resolve().relative_to(folder.resolve()).as_posix()
        except ValueError:
            pass
    return name
