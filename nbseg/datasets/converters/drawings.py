"""Convert shapes that people drew in a labeling tool to a COCO json."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from nbseg.datasets.converters.coco_json import Labeled, Prepared
from nbseg.datasets.converters.drawn_shapes import Shape
from nbseg.datasets.converters.instance_map import annotation_of
from nbseg.datasets.converters.plan import Plan, carry_out
from nbseg.image_headers import image_header

UNNAMED = "shapes without a class (--class NAME gives them a class)"


@dataclass(frozen=True)
class Drawn:
    """Holds a shape that a person drew in an image.

    Attributes:
        label: name of the class; None if the file names no class.
        shape: the shape.
        where: place of the shape in its file, such as "shapes[3]", for error messages.
        group: shapes of an image with the same label and the same group are parts of one object.
            None makes the shape an object by itself.
    """

    label: str | None
    shape: Shape
    where: str
    group: str | None = None


@dataclass
class Drawing:
    """Holds the shapes that a person drew in one image.

    Attributes:
        image: path of the image, relative to the image folder.
        source: the file that holds the shapes.
        shapes: the shapes.
        size: height and width in pixels that the file states for the image; None if it states none.
    """

    image: str
    source: Path
    shapes: list[Drawn]
    size: tuple[int, int] | None = None


@dataclass
class Drawings:
    """Holds the shapes that were read from the files of a labeling tool.

    Attributes:
        tool: name of the tool.
        drawings: the shapes of each labeled image.
        sources: the files that were read.
        left_out: number of shapes and other entries that are left out, by reason.
        notes: lines to print below the counts.
        classes: names of classes in the order of their category ids. Labels that are not among
            these names get the next ids, in alphabetical order.
    """

    tool: str
    drawings: list[Drawing]
    sources: Sequence[Path]
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    classes: Sequence[str] = ()


def convert_drawings(
    found: Drawings,
    images: Path,
    all_names: Sequence[str],
    out: Path,
    *,
    class_name: str | None = None,
    pixel_centers: bool = False,
    workers: int = 1,
    force: bool = False,
) -> Prepared:
    """Write a COCO json with the masks of the shapes as run lengths (RLE).

    Shapes without a class and objects without a pixel in the image are left out and counted. An
    image without a :class:`Drawing` is left out. An image whose ``Drawing`` has no shapes is an
    image without objects.

    Args:
        found: the shapes of all images.
        images: folder of the images.
        all_names: paths of all images in this folder.
        out: path of the COCO json.
        class_name: class of the shapes without a class; None leaves these shapes out.
        pixel_centers: whether the outlines of polygons run through the centers of the border
            pixels. If False, the outlines run along the edges of pixels.
        workers: number of processes.
        force: write the json again, even if it exists.

    Returns:
        Path, counts and notes of the json. The counts (``summary``) are None if the json existed
        and was kept.

    Raises:
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: no image has a ``Drawing``; an image has more than one; an image has another
            size than its ``Drawing`` states; a shape is malformed; or most objects of an image lie
            outside the image.
    """
    if not found.drawings:
        raise ValueError(
            f"these files of {found.tool} have no labeled image: {_few(found.sources)}; label "
            "images in the tool, and export the labels again"
        )
    left_out = Counter(found.left_out)
    items: dict[str, Drawing] = {}
    for drawing in found.drawings:
        if (other := items.setdefault(drawing.image, drawing)) is not drawing:
            raise ValueError(
                f"{_few([other.source, drawing.source])}: the image {drawing.image} is labeled "
                "twice; keep the labels of only one file or entry for this image"
            )
    objects = 0
    used = set()
    for drawing in items.values():
        kept = []
        for drawn in drawing.shapes:
            label = drawn.label or class_name
            if label is None:
                left_out[UNNAMED] += 1
                continue
            used.add(label)
            kept.append(replace(drawn, label=label))
        drawing.shapes = kept
        objects += len(_objects(kept))
    known = list(dict.fromkeys([*found.classes, *sorted(used)]))
    numbers = {label: index for index, label in enumerate(known, start=1)}
    categories = [{"id": number, "name": label} for label, number in numbers.items()]
    notes = [*found.notes]
    notes += [f"{reason}, left out: {count}" for reason, count in sorted(left_out.items())]
    if others := len(all_names) - len(items):
        notes.append(f"images without labels, left out: {others}")
    ordered = [items[name] for name in sorted(items)]
    options = f", class {class_name}" * bool(class_name) + ", pixel centers" * pixel_centers
    plan = Plan(
        out,
        f"{found.tool}{options}",
        images,
        categories,
        [*(images / drawing.image for drawing in ordered), *found.sources],
        ordered,
        notes=notes,
        read=found.sources,
    )
    load = partial(_load, images, numbers, pixel_centers)
    (made,) = carry_out([plan], load, images, workers, force)
    if made.summary and (empty := objects - made.summary.instances.total()):
        made.notes.append(f"objects without a pixel in the image, left out: {empty}")
    return made


def reason(error: Exception) -> str:
    """Return what is wrong with a shape as a phrase, such as "the key 'x' is missing".

    Args:
        error: the exception that reading the shape raised. A KeyError stands for a missing key; the
            message of any other exception is the phrase.
    """
    return f"the key {error} is missing" if isinstance(error, KeyError) else str(error)


def whole_size(height: Any, width: Any, source: Path) -> tuple[int, int] | None:
    """Return an image's (height, width) as integers; None if a side is not given or is 0.

    Args:
        height, width: sides in pixels, as numbers or text, or None.
        source: file of the labeling tool that states the sides, for the message.

    Raises:
        ValueError: a side is not a whole number.
    """
    if height in (None, "", 0, "0") or width in (None, "", 0, "0"):
        return None
    try:
        return int(height), int(width)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{source} has the image size {width!r} x {height!r}; expected whole numbers of "
            "pixels. Export the labels again"
        ) from error


def _few(paths: Iterable[Path]) -> str:
    return ", ".join(dict.fromkeys(map(str, list(paths)[:2])))


def _objects(shapes: Sequence[Drawn]) -> dict[tuple[str | None, Any], list[Drawn]]:
    """Return the shapes of each object.

    The key of an object is (label, group). If its shape has no group, the key is (label, position
    of the shape).
    """
    found: dict[tuple[str | None, Any], list[Drawn]] = {}
    for position, drawn in enumerate(shapes):
        key = position if drawn.group is None else drawn.group
        found.setdefault((drawn.label, key), []).append(drawn)
    return found


def _load(images: Path, numbers: dict[str, int], pixel_centers: bool, drawing: Drawing) -> Labeled:
    path = images / drawing.image
    header = image_header(path)
    height, width = header.height, header.width
    if drawing.size and drawing.size != (height, width):
        swapped = drawing.size == (width, height)
        exif = "if the photo's Exif data rotate the photo, label the rotated photo; otherwise "
        raise ValueError(
            f"{drawing.source} has labels for an image of {drawing.size[1]} x {drawing.size[0]} "
            f"pixels, but {path} has {width} x {height}; {exif if swapped else ''}give the folder "
            "of the images that the labels were drawn on (--images)"
        )
    annotations = []
    outside = 0
    for (label, _), parts in _objects(drawing.shapes).items():
        rles = []
        for drawn in parts:
            try:
                rles.append(drawn.shape.encode(height, width, pixel_centers))
            except ValueError as error:
                raise ValueError(
                    f"{drawing.source}: {drawn.where} is a malformed shape ({error}); correct or "
                    "delete it in the labeling tool"
                ) from error
        values = annotation_of(coco_mask.merge(rles) if len(rles) > 1 else rles[0])
        if values["area"]:
            annotations.append({"category_id": numbers[str(label)], "iscrowd": 0, **values})
        else:
            outside += 1
    if outside > max(1, len(annotations)):
        raise ValueError(
            f"{drawing.source}: {outside} of {outside + len(annotations)} objects have no pixel in "
            f"{path}, which has {width} x {height} pixels. The coordinates seem to be those of "
            "another image or of a map; expected pixels from the image's upper left corner. Give "
            "the folder of the images that the labels were drawn on (--images), or export pixel "
            "coordinates"
        )
    return {"file_name": drawing.image, "height": height, "width": width}, annotations
