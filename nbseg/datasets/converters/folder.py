"""Write a COCO json without annotations that lists the images of a folder."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nbseg.datasets.converters.coco_json import (
    Labeled,
    Prepared,
    is_prepared,
    source_record,
    write_coco_json,
)
from nbseg.datasets.converters.parallel import parallel_map
from nbseg.image_headers import image_header
from nbseg.image_names import image_names
from nbseg.image_options import FOR_DISPLAY


def convert_folder(
    folder: Path,
    out: Path,
    classes: Sequence[str] = (),
    workers: int = 1,
    force: bool = False,
) -> Prepared:
    """Write a COCO json that lists the images of a folder and its sub-folders.

    Args:
        folder: folder of the images; the json's file names are relative to this folder.
        out: path of the json.
        classes: names of the categories, whose ids are 1, 2, ...
        workers: number of processes.
        force: write the json again, even if it exists.

    Returns:
        Path, counts and notes of the json. The counts (``summary``) are None if the json existed
        and was kept.

    Raises:
        FileNotFoundError: ``folder`` does not exist, is not a folder or has no image.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: an image cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; give the path of an image folder")
    names = image_names(folder)
    categories = [{"id": index, "name": name} for index, name in enumerate(classes, start=1)]
    record = source_record(
        f"images, classes {list(classes)}", folder, (folder / name for name in names)
    )
    summary = None
    if not is_prepared(out, record, force):
        content: Iterator[Labeled] = ((image, []) for image in images_of(folder, workers))
        summary = write_coco_json(out, record, categories, content, len(names))
    return Prepared(out, folder, categories, summary)


def images_of(folder: Path, workers: int) -> list[dict[str, Any]]:
    """Return a COCO image entry, without an id, for each image in a folder and its sub-folders.

    Raises:
        ValueError: an image cannot be read.
    """
    names = image_names(folder)
    return list(parallel_map(partial(_image, folder), names, workers, "reading image sizes"))


def _image(folder: Path, name: str) -> dict[str, Any]:
    header = image_header(folder / name, FOR_DISPLAY)
    return {"file_name": name, "height": header.height, "width": header.width}
