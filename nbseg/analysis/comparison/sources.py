"""Open the two sides of a comparison: prediction files, checkpoints and exported models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.analysis.prediction_files import check_results
from nbseg.coco import index_coco, read_results
from nbseg.deploy.coco_predictions import CocoPredictions
from nbseg.images import image_header, image_names, read_image

Instances = list[dict[str, Any]]  # COCO annotations whose category_id is the class's index


@dataclass(frozen=True)
class InstanceSource:
    """The instances of one side of a comparison.

    Attributes:
        classes: class names.
        images: file name, height and width of each predicted image; None for a model, which can
            predict any image.
        instances: returns the instances of an image, given its file name; their ``category_id`` is
            an index into ``classes``. A model reads and predicts the image in this call.
    """

    classes: tuple[str, ...]
    images: tuple[tuple[str, int, int], ...] | None
    instances: Callable[[str], Instances]


def open_instances(
    text: str, image_folder: Path, truth: COCO | None, truth_path: Path | None
) -> InstanceSource:
    """Open a json of predictions, ``CONFIG:CHECKPOINT`` or ``MODEL.onnx``.

    Args:
        text: the command-line argument, a path or ``CONFIG:CHECKPOINT``.
        image_folder: folder that the file names are relative to.
        truth: COCO annotations that define the image and class ids of a list of results.
        truth_path: file of ``truth``, for messages.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file has another form, or ``truth`` is missing for a list of results.
    """
    config, colon, checkpoint = text.rpartition(".py:")
    if colon:
        return _model_source(_checkpoint_segmenter(config + ".py", checkpoint), image_folder)
    if Path(text).suffix == ".onnx":
        from nbseg.deploy.runtime import Segmenter  # needs ONNX Runtime

        return _model_source(Segmenter(text), image_folder)
    path = Path(text)
    content = read_results(path)
    if isinstance(content, list):
        if truth is None or truth_path is None:
            raise ValueError(
                f"{path} is a list of results, whose image and class ids are defined elsewhere; "
                "give the json that defines them as --truth"
            )
        check_results(content, path, truth, truth_path)
        return coco_source(truth, content, image_folder)
    coco = index_coco(content, path, masks=True)
    return coco_source(coco, list(coco.anns.values()), image_folder)


def coco_source(coco: COCO, annotations: Instances, image_folder: Path) -> InstanceSource:
    """Return annotations as a source, with the images and classes of a COCO json."""
    class_index = {category: i for i, category in enumerate(coco.cats)}
    names = {i: _below(image["file_name"], image_folder) for i, image in coco.imgs.items()}
    by_name: dict[str, Instances] = defaultdict(list)
    for annotation in annotations:
        instance = {**annotation, "category_id": class_index[annotation["category_id"]]}
        by_name[names[annotation["image_id"]]].append(instance)
    return InstanceSource(
        tuple(category["name"] for category in coco.cats.values()),
        tuple((names[i], image["height"], image["width"]) for i, image in coco.imgs.items()),
        lambda name: by_name.get(name, []),
    )


def folder_images(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return file name, height and width of every image below a folder.

    Raises:
        FileNotFoundError: the folder has no image.
        ValueError: an image cannot be read.
    """
    headers = ((name, image_header(folder / name)) for name in image_names(folder))
    return tuple((name, header.height, header.width) for name, header in headers)


def _checkpoint_segmenter(config: str, checkpoint: str) -> Any:
    from nbseg.config.plain_config import student_config
    from nbseg.config.reading import read_config
    from nbseg.deploy.checkpoint_segmenter import CheckpointSegmenter

    if not Path(config).is_file():
        raise FileNotFoundError(f"there is no config {config}")
    plain = student_config(read_config(config), "work_dirs/analyze")
    return CheckpointSegmenter(plain, checkpoint)


def _model_source(segmenter: Any, image_folder: Path) -> InstanceSource:
    def instances(name: str) -> Instances:
        pixels = read_image(image_folder / name)
        predictions = CocoPredictions(segmenter.classes)
        predictions.add(pixels, segmenter(pixels), 0.0, file_name=name)
        # CocoPredictions numbers categories from 1.
        return [{**a, "category_id": a["category_id"] - 1} for a in predictions.annotations]

    return InstanceSource(tuple(segmenter.classes), None, instances)


def _below(name: str, folder: Path) -> str:
    """Return a file name relative to the folder; tools/infer.py writes whole paths."""
    path = Path(name)
    if path.is_absolute() or path.exists():
        try:
            return path.resolve().relative_to(folder.resolve()).as_posix()
        except ValueError:
            pass
    return name
