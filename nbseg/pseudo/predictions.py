"""Write and read the store of raw predictions, from which pseudo-labels are made.

A store is a folder of parts. A part is an ``.npz`` file with the N predictions on I images:

    image_id, height, width, count   (I,)      one entry per image; count: number of predictions
    file_name                        (I,)      path relative to the data set's image folder
    boxes      (N, 4) float32 xyxy, image pixels    N = sum of count, image by image
    scores     (N,)   float32
    labels     (N,)   int64
    soft_masks (N, S, S) uint8, S x S cells of each box; value / 255 is the mask probability
    classes                          (C,)      names of the labels 0, 1, ...

A part is renamed into place when it is complete, so every part in the folder is readable. An
interrupted run continues with the images that no part has. Readers return images by ascending id,
so the result does not depend on which process predicted an image, or when.

The file ``images.json``, written at the end, lists the images of the data set:

    {"images": [[id, file_name], ...], "left_out": [file_name of an image that cannot be read, ...]}

Readers look up an image of ``images.json`` in the parts by its file name, because its id may have
changed since the prediction. They skip images of the parts that are no longer in the data set.
Without ``images.json``, readers return all images of the parts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nbseg.files import read_json, replacing, write_json

INDEX = "images.json"


class ImagePredictions(NamedTuple):
    """Holds the N raw predictions on an image.

    Attributes:
        image_id: id of the image in the COCO json of the data set.
        file_name: path of the image, relative to the data set's image folder.
        height, width: size of the image in pixels.
        boxes: xyxy in image pixels, shape (N, 4).
        scores: shape (N,), from 0 to 1.
        labels: class indices from 0, shape (N,).
        soft_masks: uint8, shape (N, S, S). Each box has S x S cells; a cell's value divided by 255
            is the probability that the cell belongs to the object.
    """

    image_id: int
    file_name: str
    height: int
    width: int
    boxes: npt.NDArray[Any]
    scores: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    soft_masks: npt.NDArray[Any]

    def select(self, keep: npt.NDArray[Any]) -> "ImagePredictions":
        """Return a copy with the predictions in ``keep``, which is a bool mask (N,) or indices."""
        return self._replace(
            boxes=self.boxes[keep],
            scores=self.scores[keep],
            labels=self.labels[keep],
            soft_masks=self.soft_masks[keep],
        )


class PredictionWriter:
    """Collects predictions, and writes a file (a part of the store) whenever it has enough images.

    Args:
        folder: folder of the store; created if missing.
        classes: names of the labels 0, 1, ...
        images_per_part: number of images from which on a part is written. Until then, the images
            are held in memory, and a killed run loses their predictions.
        rank: rank of this process; parts of different ranks have different names.
    """

    def __init__(
        self,
        folder: str | Path,
        classes: Sequence[str],
        images_per_part: int = 64,
        rank: int = 0,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.classes = list(classes)
        self.images_per_part = images_per_part
        self.rank = rank
        self._pending: list[ImagePredictions] = []
        numbers = [int(path.stem[-6:]) for path in self.folder.glob(f"part-{rank:03d}-*.npz")]
        self._next_part = max(numbers, default=-1) + 1

    def append(self, batch: Iterable[ImagePredictions]) -> None:
        """Add the images of a batch; all of them are written to the same part."""
        self._pending.extend(batch)
        if len(self._pending) >= self.images_per_part:
            self.flush()

    def flush(self) -> None:
        """Write the pending images as a part."""
        if not self._pending:
            return
        images = self._pending
        path = self.folder / f"part-{self.rank:03d}-{self._next_part:06d}.npz"
        with replacing(path) as temporary:
            np.savez_compressed(
                temporary,
                image_id=np.array([image.image_id for image in images], np.int64),
                file_name=np.array([image.file_name for image in images], np.str_),
                height=np.array([image.height for image in images], np.int64),
                width=np.array([image.width for image in images], np.int64),
                count=np.array([len(image.scores) for image in images], np.int64),
                boxes=np.concatenate([image.boxes for image in images]).astype(np.float32),
                scores=np.concatenate([image.scores for image in images]).astype(np.float32),
                labels=np.concatenate([image.labels for image in images]).astype(np.int64),
                soft_masks=np.concatenate([image.soft_masks for image in images]),
                classes=np.array(self.classes, np.str_),
            )
        self._next_part += 1
        self._pending = []


def write_index(folder: str | Path, images: Mapping[int, str], left_out: Sequence[str]) -> None:
    """Write a store's ``images.json``, which lists the images of the data set.

    Args:
        folder: folder of the store.
        images: file names of the data set's images by image id.
        left_out: file names of the images that cannot be read.
    """
    write_json(Path(folder) / INDEX, {"images": list(images.items()), "left_out": list(left_out)})


class PredictionStore:
    """Reads the raw predictions in a store image by image.

    A store is a folder of ``part-*.npz`` files, which :class:`PredictionWriter` writes. If two
    parts hold the same image, the first part by name counts.

    Args:
        folder: folder of the store.

    Raises:
        FileNotFoundError: the folder does not exist.
    """

    # Number of parts in memory while images are read by id. Process k of n writes every n-th batch,
    # so consecutive ids are spread over one part per process.
    PARTS_IN_MEMORY = 16

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(
                f"there is no prediction store at {folder}; run the predict stage first "
                "(tools/train.py CONFIG --stages predict)"
            )

    def classes(self) -> list[str]:
        """Return the names of the labels 0, 1, ...; an empty list if the store is empty.

        Raises:
            ValueError: the store has no class names.
        """
        for path in self._parts():
            with np.load(path) as part:
                if "classes" not in part:
                    raise ValueError(
                        f"{path} does not name the classes of its predictions; predict again "
                        "(tools/train.py CONFIG --redo predict)"
                    )
                return list(part["classes"].tolist())
        return []

    def predicted(self) -> dict[str, int]:
        """Return {file name: id} of all images in the parts, listed in ``images.json`` or not.

        The ids are those in the parts, which may differ from the ids in ``images.json``.
        """
        ids: dict[str, int] = {}
        for path in self._parts():
            with np.load(path) as part:
                for name, image_id in zip(
                    part["file_name"].tolist(), part["image_id"].tolist(), strict=True
                ):
                    ids.setdefault(name, image_id)
        return ids

    def file_names(self) -> dict[int, str]:
        """Return {image id: file name} for all images that iterating over the store yields."""
        index = self._index()
        if index is None:
            return {image_id: name for name, image_id in self.predicted().items()}
        return dict(index["images"])

    def left_out(self) -> list[str]:
        """Return the names of the data set's images that could not be read."""
        return list((self._index() or {}).get("left_out", ()))

    def __len__(self) -> int:
        return len(self.file_names())

    def __iter__(self) -> Iterator[ImagePredictions]:
        """Yield the predictions of each image, by ascending image id.

        Raises:
            ValueError: the parts lack an image that ``images.json`` lists.
        """
        places: dict[str, tuple[Path, int]] = {}
        for path in self._parts():
            with np.load(path) as part:
                for row, name in enumerate(part["file_name"].tolist()):
                    places.setdefault(name, (path, row))
        images = self.file_names()
        lost = [name for name in images.values() if name not in places]
        if lost:
            raise ValueError(
                f"{self.folder} has no predictions for {len(lost)} of the images that its "
                f"{INDEX} lists, for example {lost[0]}; predict again (tools/train.py CONFIG "
                "--redo predict)"
            )
        read = lru_cache(self.PARTS_IN_MEMORY)(_read_part)
        for image_id in sorted(images):
            path, row = places[images[image_id]]
            yield read(path)[row]._replace(image_id=image_id)

    def _index(self) -> dict[str, Any] | None:
        path = self.folder / INDEX
        return dict(read_json(path)) if path.exists() else None

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.npz"))


def _read_part(path: Path) -> list[ImagePredictions]:
    with np.load(path) as part:
        arrays = dict(part)
    ends = np.cumsum(arrays["count"])
    per_instance = [
        np.split(arrays[name], ends[:-1]) for name in ("boxes", "scores", "labels", "soft_masks")
    ]
    per_image = [arrays[name].tolist() for name in ("image_id", "file_name", "height", "width")]
    return [ImagePredictions(*row) for row in zip(*per_image, *per_instance, strict=True)]
