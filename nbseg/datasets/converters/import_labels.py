"""Convert the files of a labeling tool to a COCO json."""

from dataclasses import dataclass
from pathlib import Path

from nbseg.datasets.converters.coco_json import Prepared
from nbseg.datasets.converters.cvat_xml import read_cvat
from nbseg.datasets.converters.drawings import Drawings, convert_drawings
from nbseg.datasets.converters.find_images import ImageFinder
from nbseg.datasets.converters.geojson import read_geojson
from nbseg.datasets.converters.label_formats import find_labels
from nbseg.datasets.converters.label_images import LabelImages, convert_label_images
from nbseg.datasets.converters.label_studio import read_label_studio
from nbseg.datasets.converters.labelme import read_labelme
from nbseg.datasets.converters.repair import Repairs, repair_coco
from nbseg.datasets.converters.yolo import read_yolo
from nbseg.datasets.label_suffixes import FORMATS
from nbseg.files import read_json


@dataclass(frozen=True)
class LabelSource:
    """Describes labels to import.

    Attributes:
        path: file or folder that a labeling tool wrote.
        images: folder of the images that the labels were drawn on. None means ``path`` if this is
            a folder, otherwise the folder that contains ``path``.
        format: one of ``nbseg.datasets.label_suffixes.FORMATS``; None to recognize the format.
        class_name: class of all objects in label images, or of all shapes that have no class.
        parts: whether each connected part in a label image becomes an object, see
            :class:`nbseg.datasets.converters.label_images.LabelImages`.
        keep_empty: whether to keep images without shapes in a file of CVAT, as labeled images
            without objects.
        repairs: repairs of a COCO json. ``pixel_centers`` also applies to polygons in other
            formats.
    """

    path: Path
    images: Path | None = None
    format: str | None = None
    class_name: str | None = None
    parts: bool = False
    keep_empty: bool = False
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

    Returns:
        Path, counts and notes of the json. The counts (``summary``) are None if the json existed
        and was kept.

    Raises:
        FileNotFoundError: a file, a folder or an image is missing.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: the format is not recognized, an option does not fit the format, a file is
            malformed, or ``out`` is one of the files to import.
    """
    kind, files = find_labels(source.path, out, source.format)
    _check_options(source, kind)
    images = source.images or (source.path if source.path.is_dir() else source.path.parent)
    if kind == "label-images":
        labels = LabelImages(source.path, images, source.class_name, source.parts)
        return convert_label_images(labels, out, workers, force)
    if kind in ("coco", "cvat", "label-studio") and len(files) > 1:
        raise ValueError(
            f"{source.path} has {len(files)} {kind} files, such as {files[0]}; expected one file. "
            "Give the path of one of these files"
        )
    if kind == "coco":
        made = repair_coco(files[0], out, source.repairs, force)
        if source.images:
            made.image_folder = source.images
        elif made.summary:
            made.summary.samples.clear()  # there may be no images to draw
        return made
    finder = ImageFinder(images)
    try:
        drawings = _read(source, kind, files, finder)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        # A file that another program changed may have any value in any place.
        raise ValueError(
            f"{source.path} cannot be read in the format {kind} ({type(error).__name__}: {error}); "
            "export the labels again, or name another format (--format)"
        ) from error
    return convert_drawings(
        drawings,
        images,
        finder.names,
        out,
        class_name=source.class_name,
        pixel_centers=source.repairs.pixel_centers,
        workers=workers,
        force=force,
    )


def _read(source: LabelSource, kind: str, files: list[Path], finder: ImageFinder) -> Drawings:
    folder = source.path if source.path.is_dir() else source.path.parent
    if kind == "labelme":
        return read_labelme(files, folder, finder)
    if kind == "geojson":
        return read_geojson(files, folder, finder)
    if kind == "yolo":
        return read_yolo(files, folder, finder, source.class_name)
    if kind == "cvat":
        return read_cvat(files[0], finder, source.keep_empty)
    content = read_json(files[0])
    return read_label_studio(content if isinstance(content, list) else [content], files[0], finder)


def _check_options(source: LabelSource, kind: str) -> None:
    """Raise a ValueError if an option has no effect on labels of the format ``kind``."""
    drawn = tuple(name for name in FORMATS if name not in ("coco", "label-images"))
    fitting = {
        "--class": (source.class_name, ("label-images", *drawn)),
        "--parts": (source.parts, ("label-images",)),
        "--keep-empty": (source.keep_empty, ("cvat",)),
        "--crowds": (source.repairs.crowds, ("coco",)),
        "--holes": (source.repairs.holes, ("coco",)),
        "--pixel-centers": (source.repairs.pixel_centers, ("coco", *drawn)),
    }
    for option, (given, kinds) in fitting.items():
        if given and kind not in kinds:
            raise ValueError(
                f"{option} does not fit {source.path}, which has the format {kind}; remove this "
                f"option, which is only for {', '.join(kinds)}"
            )
