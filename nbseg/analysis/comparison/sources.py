"""Open each model of a comparison, from a json of predictions, a checkpoint or an ONNX file."""

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
from nbseg.image_headers import image_header
from nbseg.image_names import image_names

Instances = list[dict[str, Any]]  # COCO annotations whose category_id is the class's index


@dataclass(frozen=True)
class InstanceSource:
    """Provides the instances of one model, or of the truth.

    Attributes:
        classes: class names.
        images: file name, height and width of each predicted image; None if the source can predict
            every image.
        instances: function that takes the file name of an image and returns the image's instances
            as COCO annotations. Their ``category_id`` is an index into ``classes``.
    """

    classes: tuple[str, ...]
    images: tuple[tuple[str, int, int], ...] | None
    instances: Callable[[str], Instances]


def open_instances(
    text: str, image_folder: Path, truth: COCO | None, truth_path: Path | None
) -> InstanceSource:
    """Open a json of predictions, a checkpoint or an exported model as a source of instances.

    Args:
        text: path of a json or of an ONNX model, or ``CONFIG.py:CHECKPOINT``.
        image_folder: folder that the images' file names are relative to.
        truth: indexed COCO json that defines the image and category ids of a list of COCO results.
            Only needed if ``text`` is the path of such a list; otherwise None is allowed.
        truth_path: path of the truth's file, for messages.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is invalid, or the json is a list of results and ``truth`` is None.
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
                f"{path} is a list of COCO results, which does not define its image and category "
                "ids; use --truth to give the COCO json that defines these ids"
            )
        check_results(content, path, truth, truth_path)
        return coco_source(truth, content, image_folder)
    coco = index_coco(content, path, masks=True)
    return coco_source(coco, list(coco.anns.values()), image_folder)


def coco_source(coco: COCO, annotations: Instances, image_folder: Path) -> InstanceSource:
    """Return a source that provides the given annotations of a COCO json.

    Args:
        coco: the json, which lists the images and classes.
        annotations: annotations whose image and category ids are those of the json.
        image_folder: folder that the json's file names are relative to.
    """
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
    """Return the file name, height and width of every image in a folder and its subfolders.

    File names are relative to the folder.

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
        raise FileNotFoundError(f"there is no config {config}; correct the path")
    plain = student_config(read_config(config), "work_dirs/analyze")
    return CheckpointSegmenter(plain, checkpoint)


def _model_source(segmenter: Any, image_folder: Path) -> InstanceSource:
    def instances(name: str) -> Instances:
        pixels = segmenter.read(image_folder / name)
        predictions = CocoPredictions(segmenter.classes)
        predictions.add(pixels, segmenter(pixels), 0.0, file_name=name)
        # CocoPredictions numbers categories from 1.
        return [{**a, "category_id": a["category_id"] - 1} for a in predictions.annotations]

    return InstanceSource(tuple(segmenter.classes), None, instances)


def _below(name: str, folder: Path) -> str:
    """Return the path of an image relative to the folder.

    ``name`` is resolved if it is an absolute path, or if a file exists at this path, as in the json
    of ``tools/infer.py``. If the resolved path lies inside the folder, the part below the folder is
    returned. In all other cases, ``name`` is returned unchanged: it is already relative to the
    folder, or the image lies outside the folder.
    """
    path = Path(name)
    if path.is_absolute() or path.exists():
        try:
            return path.resolve().relative_to(folder.resolve()).as_posix()
        except ValueError:
            pass
    return name
