"""Read predictions image by image, from a COCO json or from a run's folder of raw predictions.

Raw predictions are a model's boxes, scores and soft masks before any threshold. A soft mask is a
grid of foreground probabilities over the predicted box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pycocotools.coco import COCO

from nbseg.coco import check_categories, check_same_images, index_coco, read_results
from nbseg.coco_masks import to_rle
from nbseg.coco_values import is_box, is_number
from nbseg.ops import paste_rle
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore

RESULT_KEYS = ("image_id", "category_id", "score", "bbox", "segmentation")
MASK_THRESHOLD = 0.5


class Predictions(Protocol):
    """Provides the predictions of a model, with the image and category ids of the truth.

    Attributes:
        images: ids of the predicted images, ascending.
        has_soft_masks: whether each annotation has the keys ``soft_mask`` and ``box``.
            ``soft_mask`` is a grid of foreground probabilities over the predicted box, uint8, shape
            (S, S); a value divided by 255 is the probability. ``box`` is the predicted box, xyxy in
            image pixels, float32, shape (4,).
    """

    images: list[int]
    has_soft_masks: bool

    def annotations(self, image_id: int) -> list[dict[str, Any]]:
        """Return an image's predictions as COCO annotations with ``segmentation`` and ``score``.

        Call this method once per image, in the order of ``images``.
        """
        ...


class JsonPredictions:
    """Reads predictions from COCO's list of results, or from a COCO json with scores.

    A list of results does not say which images were predicted, so all images of the truth count as
    predicted. A COCO json lists its images; images that the truth does not list are left out.

    Args:
        path: list of results, such as ``PREFIX.segm.json`` of ``tools/test.py --out PREFIX``, or
            COCO json, such as ``pseudo_labels.json``.
        truth: true annotations with the same image and category ids.
        truth_path: path of the truth's file, for messages.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is neither a list of results nor a COCO json, a prediction is invalid
            or has no score, the truth lacks a category or an image of a list of results, the COCO
            json and the truth share no image, or an id means another image or category in the
            truth.
    """

    has_soft_masks = False

    def __init__(self, path: Path, truth: COCO, truth_path: Path) -> None:
        content = read_results(path)
        if isinstance(content, list):
            check_results(content, path, truth, truth_path)
            self.images = sorted(truth.imgs)
            annotations: list[dict[str, Any]] = content
        else:
            coco = index_coco(content, path, masks=True)
            check_categories(coco, path, truth, truth_path)
            check_same_images(coco, path, truth, truth_path)
            self.images = sorted(image for image in coco.imgs if image in truth.imgs)
            annotations = list(coco.anns.values())
            scoreless = [a["id"] for a in annotations if "score" not in a]
            if scoreless:
                raise ValueError(
                    f"{path}: {len(scoreless)} of {len(annotations)} annotations have no score "
                    f"(first id: {scoreless[0]}); give a json of predictions or pseudo-labels "
                    "with a score for each annotation"
                )
        self._by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in annotations:
            self._by_image[annotation["image_id"]].append(annotation)

    def annotations(self, image_id: int) -> list[dict[str, Any]]:
        """Return an image's predictions as COCO annotations; an empty list if there are none."""
        return self._by_image.get(image_id, [])


class StoredPredictions:
    """Reads a run's raw predictions, and thresholds their soft masks at 0.5.

    The run's stage ``predict`` writes raw predictions: boxes, scores and soft masks before any
    threshold. Classes are matched to the truth's categories by name. Images that the truth does not
    list are left out.

    Args:
        folder: the folder ``pseudo_labels/predictions`` of a run.
        truth: true annotations with the same image ids.
        truth_path: path of the truth's file, for messages.

    Raises:
        FileNotFoundError: the folder is missing.
        ValueError: the folder has no predictions, none of its images is in the truth, an image has
            another file name in the truth, or the truth lacks a class of the predictions.
    """

    has_soft_masks = True

    def __init__(self, folder: Path, truth: COCO, truth_path: Path) -> None:
        store = PredictionStore(folder)
        names = store.file_names()
        if not names:
            raise ValueError(
                f"{folder} has no predictions (files part-*.npz); give the folder "
                "pseudo_labels/predictions of a run, or a json of predictions"
            )
        self.images = sorted(image for image in names if image in truth.imgs)
        for image in self.images:
            if names[image] != truth.imgs[image]["file_name"]:
                raise ValueError(
                    f"the image id {image} means {names[image]!r} in {folder}, but "
                    f"{truth.imgs[image]['file_name']!r} in {truth_path}; give the json with the "
                    "true annotations of the predicted images"
                )
        if not self.images:
            raise ValueError(
                f"{folder} and {truth_path} have no image id in common; give the json with the "
                "true annotations of the predicted images"
            )
        ids = {category["name"]: number for number, category in truth.cats.items()}
        classes = store.classes()
        unknown = [name for name in classes if name not in ids]
        if unknown:
            raise ValueError(
                f"the model of the predictions in {folder} has the classes {classes}, but "
                f"{truth_path} has no categories {unknown}, only {list(ids)}; give a json of true "
                "annotations whose categories include all classes of the model"
            )
        self._categories = [ids[name] for name in classes]
        self._remaining: Iterator[ImagePredictions] = iter(store)

    def annotations(self, image_id: int) -> list[dict[str, Any]]:
        """Return an image's predictions as COCO annotations with ``soft_mask`` and ``box``.

        ``Predictions.has_soft_masks`` describes these two keys. ``segmentation`` is the soft mask,
        thresholded at 0.5, as a compressed RLE. Call this method once per image, by ascending id.
        """
        image = next(image for image in self._remaining if image.image_id == image_id)
        rles = paste_rle(image.soft_masks, image.boxes, image.height, image.width, MASK_THRESHOLD)
        return [
            {
                "image_id": image_id,
                "category_id": self._categories[label],
                "score": score,
                "box": box,
                "segmentation": rle,
                "soft_mask": soft_mask,
            }
            for label, score, box, rle, soft_mask in zip(
                image.labels.tolist(),
                image.scores.tolist(),
                image.boxes,
                rles,
                image.soft_masks,
                strict=True,
            )
        ]


def read_predictions(path: str | Path, truth: COCO, truth_path: str | Path) -> Predictions:
    """Open the predictions in a json file or in a folder of raw predictions.

    Args:
        path: COCO json or list of COCO results, or a run's folder ``pseudo_labels/predictions``.
        truth: true annotations with the same image ids.
        truth_path: path of the truth's file, for messages.

    Returns:
        ``StoredPredictions`` if ``path`` is a folder, otherwise ``JsonPredictions``.

    Raises:
        FileNotFoundError: ``path`` does not exist.
        ValueError: the predictions are invalid or do not fit the truth.
    """
    path, truth_path = Path(path), Path(truth_path)
    if path.is_dir():
        return StoredPredictions(path, truth, truth_path)
    return JsonPredictions(path, truth, truth_path)


def check_results(results: list[dict[str, Any]], path: Path, truth: COCO, truth_path: Path) -> None:
    """Check that each COCO result has a score, a box, a mask, and ids that the truth defines.

    The mask must have the size of its image.

    Args:
        results: content of the list of results.
        path: path of the list, for messages.
        truth: true annotations of the predicted images.
        truth_path: path of the truth's file, for messages.

    Raises:
        ValueError: a result fails the check. The message names the result and the fault.
    """
    for number, result in enumerate(results):
        if not isinstance(result, dict):
            raise ValueError(
                f"{path}: result {number} must be a json object with the keys "
                f"{', '.join(RESULT_KEYS)}, found {repr(result)[:40]}"
            )
        missing = [key for key in RESULT_KEYS if key not in result]
        if missing:
            hint = f"each result needs {', '.join(RESULT_KEYS)}"
            if missing[0] == "segmentation":
                hint = "give the PREFIX.segm.json that tools/test.py --out PREFIX writes"
            raise ValueError(f"{path}: result {number} has no {missing[0]!r}; {hint}")
        for key, known in (("image_id", truth.imgs), ("category_id", truth.cats)):
            if not isinstance(result[key], (int, float, str)) or result[key] not in known:
                raise ValueError(
                    f"{path}: result {number} has the {key} {repr(result[key])[:40]}, which "
                    f"{truth_path} does not define; give a json of true annotations that defines "
                    "the images and categories of the predictions"
                )
        if not is_number(result["score"]) or not is_box(result["bbox"]):
            raise ValueError(
                f"{path}: result {number} has the score {repr(result['score'])[:40]} and the bbox "
                f"{repr(result['bbox'])[:80]}; correct this result: the score must be a finite "
                "number, and the bbox a list of four numbers from -2**20 to 2**20"
            )
        image = truth.imgs[result["image_id"]]
        size = [image["height"], image["width"]]
        try:
            mask_size = list(to_rle(result["segmentation"], *size)["size"])
        except ValueError as error:
            raise ValueError(
                f"{path}: result {number} has a segmentation that is neither a list of polygons "
                f"nor a valid RLE ({error}); correct this segmentation"
            ) from error
        if mask_size != size:
            raise ValueError(
                f"{path}: result {number} has a mask of {mask_size[0]} x {mask_size[1]} pixels "
                f"(height x width), but its image, which has the id {result['image_id']!r} in "
                f"{truth_path}, has {size[0]} x {size[1]} pixels; give the json with the true "
                "annotations of the predicted images"
            )
