"""Unlabelled images from a bare folder."""

import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from mmdet.datasets import BaseDetDataset
from PIL import Image, UnidentifiedImageError

from nbseg.registry import DATASETS

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_EXIF_ORIENTATION = 0x0112
_EXIF_QUARTER_TURNS = (5, 6, 7, 8)


def _image_names(folder: Path) -> list[str]:
    """Paths of the images below a folder, relative to it, sorted; nothing that is hidden."""
    names = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        names += [
            (Path(parent) / name).relative_to(folder).as_posix()
            for name in files
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted(names)


def _image_size(path: Path) -> tuple[int, int] | None:
    """Height and width of an image as OpenCV loads it; None if it cannot be read.

    Only the header is decoded, unless Pillow does not know the format or a camera was held
    upright: which formats' Exif orientation OpenCV respects depends on its version.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # The override of PNG images would decode all pixels to find a trailing chunk.
            exif = Image.Image.getexif(image)
            if exif.get(_EXIF_ORIENTATION) not in _EXIF_QUARTER_TURNS:
                return height, width
    except (UnidentifiedImageError, Image.DecompressionBombError):
        pass
    except (OSError, SyntaxError, ValueError):
        return None
    # As MMDetection loads it; cv2.imread itself fails on some turned images.
    encoded = np.fromfile(path, dtype=np.uint8)
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    return None if pixels is None else pixels.shape[:2]


@DATASETS.register_module()
class ImageFolderDataset(BaseDetDataset):
    """The images of a folder and its sub-folders, without any annotation.

    ``data_prefix=dict(img=...)``, joined to ``data_root``, is the folder. Images are sorted by
    their path below it; ``img_id`` is the 1-based place in that order. Each item has ``img_path``,
    ``file_name`` (below the folder, with forward slashes: what a COCO json names),
    ``img_id``, ``height``, ``width`` and ``instances=[]``. There is no ``ann_file``.
    ``metainfo=dict(classes=...)`` says what a model predicts on them.

    Raises:
        FileNotFoundError: there is no such folder, or no readable image in it.
        ValueError: an ``ann_file`` was given.
    """

    def load_data_list(self) -> list[dict]:
        """List the folder. Files that cannot be read are named in a warning and left out."""
        if self.ann_file:
            raise ValueError(
                f"{type(self).__name__} reads a folder without annotations, found ann_file="
                f"{self.ann_file!r}: use CocoDataset, or drop ann_file"
            )
        given = self.data_prefix.get("img") or self.data_root
        if not given or not Path(given).is_dir():
            raise FileNotFoundError(
                f"no image folder {given!r}: set data_prefix=dict(img=...), below data_root, to it"
            )
        folder = Path(given)
        names = _image_names(folder)
        data_list, unreadable = [], []
        for name in names:
            path = folder / name
            size = _image_size(path)
            if size is None:
                unreadable.append(name)
                continue
            data_list.append(
                {
                    "img_path": str(path),
                    "file_name": name,
                    "img_id": len(data_list) + 1,
                    "height": size[0],
                    "width": size[1],
                    "instances": [],
                }
            )
        if not data_list:
            raise FileNotFoundError(
                f"no readable image in {folder} or below: found {len(names)} files of the kinds "
                f"{', '.join(sorted(SUFFIXES))}"
            )
        if unreadable:
            warnings.warn(
                f"{len(unreadable)} of {len(names)} images in {folder} cannot be read and are left "
                f"out: {', '.join(unreadable)}",
                stacklevel=2,
            )
        return data_list
