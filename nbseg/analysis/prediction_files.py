"""Predictions of a test, pseudo-labels and raw predictions, read image by image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pycocotools.coco import COCO

from nbseg.coco import check_categories, check_same_images, read_coco, to_rle
from nbseg.files import read_json
from nbseg.ops import paste_rle
from nbseg.pseudo.predictions import ImagePredictions, PredictionStore

RESULT_KEYS = ("image_id", "category_id", "score", "bbox", "segmentation")
MASK_THRESHOLD = 0.5


class Predictions(Protocol):
    """Predictions whose ids of images and categories are the truth's.

    Attributes:
        images: ids of the images that were predicted, ascending.
        has_soft_masks: whether annotations have a ``soft_mask``, uint8 (S, S), value / 255.
    """

    images: list[int]
    has_soft_masks: bool

    def annotations(self, image_id: int) -> list[dict[str, Any]]:
        """Return an image's COCO annotations with ``score``; ask for images by ascending id."""
        ...


class JsonPredictions:
    """COCO's list of results, or a COCO json whose annotations have scores.

    Args:
        path: ``PREFIX.segm.json`` of ``tools/test.py --out``, or ``pseudo_labels.json``.
        truth: whose ids it has.
        truth_path: for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither of both, or has other images or classes than the truth.
    """

    has_soft_masks = False

    def __init__(self, path: Path, truth: COCO, truth_path: Path) -> None:
        content = read_predictions_json(path)
        if isinstance(content, list):
            check_results(content, path, truth, truth_path)
            self.images = sorted(truth.imgs)
            annotations = content
        else:
            coco = read_coco(path)
            check_categories(coco, path, truth, truth_path)
            check_same_images(coco, path, truth, truth_path)
            self.images = sorted(image for image in coco.imgs if image in truth.imgs)
            annotations = list(coco.anns.values())
            if any("score" not in annotation for annotation in annotations):
                raise ValueError(f"{path} has annotations without a score; it is no prediction")
        self._by_image: dict[int, list[dict]] = defaultdict(list)
        for annotation in annotations:
            self._by_image[annotation["image_id"]].append(annotation)

    def annotations(self, image_id: int) -> list[dict[str, Any]]:
        """Return an image's annotations."""
        return self._by_image.get(image_id, [])


class StoredPredictions:
    """The raw predictions of a ``pseudo`` stage, whose soft masks are cut at 0.5.

    A label's category is the truth's of the same name. One image is held at a time.

    Args:
        folder: ``pseudo/predictions`` of a run.
        truth: whose image ids it has.
        truth_path: for messages.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has no image, or other images or classes than the truth.
    """

    has_soft_masks = True

    def __init__(self, folder: Path, truth: COCO, truth_path: Path) -> None:
        store = PredictionStore(folder)
        names = store.file_names()
        if not names:
            raise ValueError(f"{folder} has no predictions (part-*.npz); wanted a json or a store")
        self.images = sorted(image for image in names if image in truth.imgs)
        for image in self.images:
            if names[image] != truth.imgs[image]["file_name"]:
                raise ValueError(
                    f"image {image} is {names[image]!r} in {folder} but "
                    f"{truth.imgs[image]['file_name']!r} in {truth_path}; the truth must be of the "
                    "same images"
                )
        if not self.images:
            raise ValueError(
                f"no image of {folder} is in {truth_path}; the truth must be of the same images"
            )
        ids = {category["name"]: number for number, category in truth.cats.items()}
        classes = store.classes()
        unknown = [name for name in classes if name not in ids]
        if unknown:
            raise ValueError(
                f"{folder} predicts {unknown}, but {truth_path} has the categories {list(ids)}; "
                "give the truth of the classes it predicts"
            )
        self._categories = [ids[name] for name in classes]
        self._remaining: Iterator[ImagePredictions] = iter(store)

    def annotations(self, image_id: int) -> list[dict[str, Any]]:
        """Return an image's annotations; images are asked for once, by ascending id."""
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
    """Read a json of predictions, or open a folder of raw ones; errors are theirs."""
    path, truth_path = Path(path), Path(truth_path)
    if path.is_dir():
        return StoredPredictions(path, truth, truth_path)
    return JsonPredictions(path, truth, truth_path)


def read_predictions_json(path: Path) -> Any:
    """Return what a json of predictions holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not json.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give a json of predictions")
    return read_json(path)


def check_results(results: list, path: Path, truth: COCO, truth_path: Path) -> None:
    """Refuse with a ValueError what is no list of COCO results with masks on the truth's images."""
    for number, result in enumerate(results):
        missing = [key for key in RESULT_KEYS if key not in result]
        if missing:
            hint = "; tools/test.py writes masks to PREFIX.segm.json"
            raise ValueError(
                f"{path}: result {number} has no {missing[0]!r}"
                + (hint if missing[0] == "segmentation" else "")
            )
        for key, known in (("image_id", truth.imgs), ("category_id", truth.cats)):
            if result[key] not in known:
                raise ValueError(
                    f"{path}: result {number} has the {key} {result[key]}, which {truth_path} does "
                    "not define; both must be of the same images and classes"
                )
        image = truth.imgs[result["image_id"]]
        size = [image["height"], image["width"]]
        try:
            found = list(to_rle(result["segmentation"], *size)["size"])
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise ValueError(
                f"{path}: result {number} has a segmentation that is neither polygons nor run "
                f"lengths ({error})"
            ) from error
        if found != size:
            raise ValueError(
                f"{path}: result {number} has a mask of {found[0]} x {found[1]} pixels, but image "
                f"{result['image_id']} of {truth_path} is {size[0]} x {size[1]}; both must be of "
                "the same images"
            )
