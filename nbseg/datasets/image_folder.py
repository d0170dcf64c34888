"""Define a data set of the images in a folder, without annotations."""

import warnings
from pathlib import Path
from typing import Any

from mmdet.datasets import BaseDetDataset

from nbseg.datasets.loading import loading_options
from nbseg.image_headers import image_header
from nbseg.image_names import image_names
from nbseg.registry import DATASETS


@DATASETS.register_module()
class ImageFolderDataset(BaseDetDataset):
    """Lists the images of a folder and its sub-folders, without annotations.

    The folder is ``data_root`` joined with ``data_prefix["img"]``. Images are sorted by their path
    relative to the folder. ``metainfo=dict(classes=...)`` names the classes that a model predicts.

    Each item has these keys:

    - ``img_path``;
    - ``file_name``: path relative to the folder, with forward slashes as in a COCO json;
    - ``img_id``: 1, 2, ... in the order of the readable images;
    - ``height`` and ``width`` in pixels;
    - ``instances``: an empty list.

    The images are read with the options of nbseg's transform ``LoadImage`` in the pipeline. Images
    that cannot be read are left out, and the attribute ``unreadable`` lists their names.

    Raises:
        FileNotFoundError: the folder does not exist, or has no readable image.
        ValueError: an ``ann_file`` was given, or a file name is not UTF-8.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return one entry per readable image; a warning names the unreadable images."""
        if self.ann_file:
            raise ValueError(
                f"{type(self).__name__} reads images without annotations, but ann_file is "
                f"{self.ann_file!r}; remove ann_file, or use CocoInstanceDataset"
            )
        given = self.data_prefix.get("img") or self.data_root
        if not given or not Path(given).is_dir():
            raise FileNotFoundError(
                f"there is no image folder {given!r} (data_root joined with data_prefix['img']); "
                "correct these paths"
            )
        folder = Path(given)
        names = image_names(folder)
        options = loading_options(self)
        data_list: list[dict[str, Any]] = []
        unreadable: dict[str, str] = {}
        for name in names:
            path = folder / name
            try:
                header = image_header(path, options)
            except (OSError, ValueError) as error:
                unreadable[name] = str(error)
                continue
            data_list.append(
                {
                    "img_path": str(path),
                    "file_name": name,
                    "img_id": len(data_list) + 1,
                    "height": header.height,
                    "width": header.width,
                    "instances": [],
                }
            )
        self.unreadable = list(unreadable)
        first = next(iter(unreadable.values()), "")
        if not data_list:
            raise FileNotFoundError(
                f"none of the {len(names)} images in {folder} and its sub-folders can be read; "
                f"choose another folder or replace the images (the first error: {first})"
            )
        if unreadable:
            more = ", ..." if len(unreadable) > 5 else ""
            warnings.warn(
                f"{len(unreadable)} of {len(names)} images in {folder} cannot be read and are left "
                f"out: {', '.join(list(unreadable)[:5])}{more} (the first error: {first})",
                stacklevel=2,
            )
        return data_list
