"""Recognize the files of labeling tools, and convert them to a COCO json."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbseg.datasets.converters.coco_json import Prepared
from nbseg.datasets.converters.cvat_xml import read_cvat
from nbseg.datasets.converters.drawings import Drawings, convert_drawings
from nbseg.datasets.converters.find_images import ImageFinder
from nbseg.datasets.converters.geojson import read_geojson
from nbseg.datasets.converters.label_images import LabelImages, convert_label_images
from nbseg.datasets.converters.label_studio import read_label_studio
from nbseg.datasets.converters.labelme import read_labelme
from nbseg.datasets.converters.repair import Repairs, repair_coco
from nbseg.datasets.converters.yolo import NAMES_FILES, read_yolo
from nbseg.files import read_json
from nbseg.images import IMAGE_SUFFIXES, files_below

FORMATS = ("coco", "cvat", "geojson", "label-images", "label-studio", "labelme", "yolo")
# Suffixes of the files that hold labels. The first one that a folder has decides on the format.
SUFFIXES = (".xml", ".geojson", ".json", ".txt")
# Files without labels in the folders that tools write.
OTHERS = (*NAMES_FILES, "notes.json", "readme.txt", "readme.dataset.txt", "readme.roboflow.txt")


@dataclass(frozen=True)
class LabelSource:
    """Labels to import.

    Attributes:
        path: file or folder that a labeling tool wrote.
        images: folder of the labeled images; None for ``path``, or for its folder if it is a file.
        format: one of ``FORMATS``; None to recognize the format.
        class_name: class of all label images, or of the shapes whose file names no class.
        parts: see :class:`nbseg.datasets.converters.label_images.LabelImages`.
        repairs: see :class:`nbseg.datasets.converters.repair.Repairs`. ``pixel_centers`` also
            concerns the polygons of other formats.
    """

    path: Path
    images: Path | None = None
    format: str | None = None
    class_name: str | None = None
    parts: bool = False
    repairs: Repairs = Repairs()


def import_labels(
    source: LabelSource, out: Path, workers: int = 1, force: bool = False
) -> Prepared:
    """Write a COCO json from the files of a labeling tool.

    Args:
        source: the labels.
        out: path of the COCO json; its file names are relative to the folder of the images.
        workers: number of processes.
        force: write the json again, even if it exists.

    Raises:
        FileNotFoundError: a file, a folder or an image is missing.
        FileExistsError: see :func:`nbseg.datasets.converters.coco_json.is_prepared`.
        ValueError: the format is not recognized, an option does not fit the format, or a file is
            malformed.
    """
    kind = source.format or recognize(source.path, out)
    _check_options(source, kind)
    images = source.images or (source.path if source.path.is_dir() else source.path.parent)
    if kind == "coco":
        made = repair_coco(_only_json(source.path, out), out, source.repairs, force)
        if source.images:
            made.image_folder = source.images
        elif made.summary:
            made.summary.samples.clear()  # there may be no images to draw
        return made
    if kind == "label-images":
        labels = LabelImages(source.path, images, source.class_name, source.parts)
        return convert_label_images(labels, out, workers, force)
    finder = ImageFinder(images)
    return convert_drawings(
        _read(source.path, kind, finder, out),
        images,
        finder.names,
        out,
        class_name=source.class_name,
        pixel_centers=source.repairs.pixel_centers,
        workers=workers,
        force=force,
    )


def recognize(path: Path, out: Path) -> str:
    """Return the format of a file or folder, one of ``FORMATS``.

    Args:
        path: the file or folder.
        out: a file that is ignored in the folder, because an earlier import wrote it.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: the format is unknown; the message names the formats.
    """
    suffix, files = _label_files(path, out)
    if suffix == ".xml":
        return "cvat"
    if suffix == ".geojson":
        return "geojson"
    if suffix == ".txt":
        return "yolo"
    if suffix == ".json":
        return _recognize_json(read_json(files[0]), files[0])
    if suffix in IMAGE_SUFFIXES:
        return "label-images"
    raise ValueError(
        f"the format of {path} is not recognized. Known are label images, COCO jsons, jsons of "
        'labelme, XML files of "CVAT for images", jsons of Label Studio ("JSON"), GeoJSON files '
        "and text files of YOLO; unpack archives first"
    )


def _recognize_json(content: Any, path: Path) -> str:
    first = content[0] if isinstance(content, list) and content else content
    if isinstance(first, dict):
        if isinstance(first.get("images"), list):
            return "coco"
        if isinstance(first.get("shapes"), list):
            return "labelme"
        if first.get("type") in ("FeatureCollection", "Feature"):
            return "geojson"
        if "data" in first and ("annotations" in first or "predictions" in first):
            return "label-studio"
    raise ValueError(
        f"{path} is in no known format: expected a COCO json, a json of labelme, GeoJSON, or a "
        'json that Label Studio exports in the format "JSON"'
    )


def _label_files(path: Path, out: Path) -> tuple[str, list[Path]]:
    """Return the suffix of the label files in a path, and these files."""
    if path.is_file():
        return path.suffix.lower(), [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no file or folder {path}; correct the path")
    files = [path / name for name in files_below(path)]
    files = [file for file in files if file.resolve() != out.resolve()]
    for suffix in SUFFIXES:
        found = [file for file in files if file.suffix.lower() == suffix]
        found = [file for file in found if file.name.lower() not in OTHERS]
        if found:
            return suffix, found
    counts = Counter(file.suffix.lower() for file in files)
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if counts[suffix]), "")
    return suffix, files


def _read(path: Path, kind: str, finder: ImageFinder, out: Path) -> Drawings:
    _, files = _label_files(path, out)
    folder = path if path.is_dir() else path.parent
    many: dict[str, Callable[..., Drawings]] = {
        "labelme": read_labelme,
        "geojson": read_geojson,
        "yolo": read_yolo,
    }
    if kind in many:
        return many[kind](files, folder, finder)
    if len(files) > 1:
        raise ValueError(f"{path} has {len(files)} files such as {files[0]}; give one of them")
    if kind == "cvat":
        return read_cvat(files[0], finder)
    return read_label_studio(read_json(files[0]), files[0], finder)


def _only_json(path: Path, out: Path) -> Path:
    if path.is_file():
        return path
    _, files = _label_files(path, out)
    if len(files) == 1:
        return files[0]
    raise ValueError(
        f"{path} has {len(files)} jsons, {os.fspath(files[0])} among them; give one of them"
    )


def _check_options(source: LabelSource, kind: str) -> None:
    """Refuse options that the format does not have."""
    drawn = ("cvat", "geojson", "label-studio", "labelme", "yolo")
    fitting = {
        "--class": (source.class_name, ("label-images", *drawn)),
        "--parts": (source.parts, ("label-images",)),
        "--crowds": (source.repairs.crowds, ("coco",)),
        "--holes": (source.repairs.holes, ("coco",)),
        "--pixel-centers": (source.repairs.pixel_centers, ("coco", *drawn)),
    }
    if kind not in FORMATS:
        raise ValueError(f"unknown format {kind!r}; known are {', '.join(FORMATS)}")
    for option, (given, kinds) in fitting.items():
        if given and kind not in kinds:
            raise ValueError(
                f"{option} does not fit {source.path}, which has the format {kind}; the option is "
                f"for {', '.join(kinds)}"
            )
