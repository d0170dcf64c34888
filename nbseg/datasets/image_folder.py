"""Unlabeled images from a bare folder."""

import warnings
from pathlib import Path
from typing import Any

from mmdet.datasets import BaseDetDataset

from nbseg.images import IMAGE_SUFFIXES, image_names, image_size
from nbseg.registry import DATASETS


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

    def load_data_list(self) -> list[dict[str, Any]]:
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
        names = image_names(folder)
        data_list: list[dict[str, Any]] = []
        unreadable: list[str] = []
        for name in names:
            path = folder / name
            size = image_size(path)
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
                f"{', '.join(IMAGE_SUFFIXES)}"
            )
        if unreadable:
            warnings.warn(
                f"{len(unreadable)} of {len(names)} images in {folder} cannot be read and are left "
                f"out: {', '.join(unreadable)}",
                stacklevel=2,
            )
        return data_list
