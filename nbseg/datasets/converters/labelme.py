"""Convert the jsons of labelme, one per image, to a COCO json."""

import base64
import io
import json
import os
from collections import Counter
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from nbseg.coco_masks import to_rle
from nbseg.datasets.converters.coco_json import Labeled, Prepared
from nbseg.datasets.converters.instance_map import annotation_of
from nbseg.datasets.converters.plan import Plan, carry_out
from nbseg.files import read_json
from nbseg.images import files_below, image_header, image_names

SHAPES = ("polygon", "rectangle", "oriented_rectangle", "circle", "mask")
# labelme's name for objects that should not be used.
IGNORED = "__ignore__"

Mask = npt.NDArray[np.uint8]


def convert_labelme(
    folder: Path, images: Path, out: Path, workers: int = 1, force: bool = False
) -> Prepared:
    """Write a COCO json from the jsons that labelme writes.

    Polygons, rectangles (also oriented ones), circles and masks become objects. Shapes with the
    same label and the same ``group_id`` are parts of one object. Lines, points and other shapes are
    left out and counted, as are shapes with the label ``__ignore__``, and objects without a pixel.
    An image whose json has no shapes has no objects.

    Args:
        folder: folder of the jsons and its sub-folders.
        images: folder of the images. The image of a json is the file that ``imagePath`` names. If
            there is no such file, it is the only image with this name, or the one in the same
            sub-folder as the json.
        out: path of the COCO json, whose file names are relative to ``images``.
        workers: number of processes.
        force: write the json again, even if it exists.

    Raises:
        FileNotFoundError: a folder is missing or empty, or the image of a json is missing.
        FileExistsError: see :func:`nbseg.datasets.converters.coco_json.is_prepared`.
        ValueError: a file is no json of labelme, its image is outside ``images`` or has another
            size, a shape is malformed, or two jsons are for the same image.
    """
    for path in (folder, images):
        if not path.is_dir():
            raise FileNotFoundError(f"there is no folder {path}; correct the path")
    jsons = [folder / name for name in files_below(folder, (".json",))]
    jsons = [path for path in jsons if path.resolve() != out.resolve()]
    names = image_names(images)
    pairs: dict[str, Path] = {}
    labels: set[str] = set()
    objects = 0
    left_out = Counter[str]()
    for path in jsons:
        content = _read(path)
        name = _image_of(content, path, folder, images, names)
        if name in pairs:
            raise ValueError(f"{pairs[name]} and {path} are both for {name}; remove one of them")
        pairs[name] = path
        for shape in content["shapes"]:
            if reason := _reason_left_out(shape):
                left_out[reason] += 1
            else:
                labels.add(shape["label"])
        objects += len(_objects(content["shapes"]))
    numbers = {label: index for index, label in enumerate(sorted(labels), start=1)}
    categories = [{"id": number, "name": label} for label, number in numbers.items()]
    notes = [f"{reason}, left out: {count}" for reason, count in sorted(left_out.items())]
    if others := len(names) - len(pairs):
        notes.append(f"{others} images have no json and are left out")
    items = sorted(pairs.items())
    plan = Plan(
        out,
        "labelme",
        images,
        categories,
        [path for name, json_path in items for path in (images / name, json_path)],
        items,
        notes=notes,
        read=[path for _, path in items],
    )
    (made,) = carry_out([plan], partial(_load, images, numbers), images, workers, force)
    if made.summary and (empty := objects - made.summary.instances.total()):
        made.notes.append(f"objects without a pixel in the image, left out: {empty}")
    return made


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise ValueError(
            f"{path} is no json of labelme: it has no list 'shapes'; move other jsons to another "
            "folder"
        )
    for position, shape in enumerate(shapes):
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str | int):
            raise ValueError(
                f"{path}: shapes[{position}] has no label that is a text; set it in labelme"
            )
        shape["label"] = str(shape["label"])
    return dict(content)


def _image_of(
    content: dict[str, Any], path: Path, folder: Path, images: Path, names: list[str]
) -> str:
    """Return the name of a json's image, relative to the image folder."""
    given = PurePosixPath(str(content.get("imagePath") or "").replace("\\", "/"))
    stored, own = (Path(os.path.abspath(p)) for p in (path.parent / given, images))
    if stored.is_file():
        if stored.is_relative_to(own):
            return stored.relative_to(own).as_posix()
        raise ValueError(
            f"{path} is for the image {stored}, which is not in {images}; give the folder of the "
            "labeled images"
        )
    if given.name:
        same = [name for name in names if PurePosixPath(name).name == given.name]
    else:
        same = [name for name in names if PurePosixPath(name).stem == path.stem]
    parallel = path.relative_to(folder).parent.as_posix()
    near = [name for name in same if PurePosixPath(name).parent.as_posix() == parallel]
    if len(near or same) != 1:
        found = "no image" if not same else f"several images, {' and '.join(same[:2])},"
        raise FileNotFoundError(
            f"{path} is for the image {given.name or path.stem}, but {images} has {found} of this "
            "name; give the folder of the labeled images"
        )
    return (near or same)[0]


def _reason_left_out(shape: dict[str, Any]) -> str | None:
    kind = shape.get("shape_type") or "polygon"
    if shape["label"] == IGNORED:
        return f"shapes with the label {IGNORED}"
    return None if kind in SHAPES else f"shapes of the type {kind}"


def _load(images: Path, numbers: dict[str, int], item: tuple[str, Path]) -> Labeled:
    name, path = item
    content = _read(path)
    header = image_header(images / name)
    size = (content.get("imageHeight"), content.get("imageWidth"))
    if all(size) and size != (header.height, header.width):
        raise ValueError(
            f"{path} is for an image of {size[1]} x {size[0]} pixels, but {images / name} has "
            f"{header.width} x {header.height}; give the folder of the labeled images"
        )
    annotations = []
    for (label, _), positions in _objects(content["shapes"]).items():
        rles = []
        for position in positions:
            shape = content["shapes"][position]
            try:
                rles.append(_encode(shape, header.height, header.width))
            except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
                raise ValueError(
                    f"{path}: shapes[{position}] is a malformed {shape.get('shape_type')} "
                    f"({error}); correct or delete it in labelme"
                ) from error
        values = annotation_of(coco_mask.merge(rles) if len(rles) > 1 else rles[0])
        if values["area"]:
            annotations.append({"category_id": numbers[label], "iscrowd": 0, **values})
    return {"file_name": name, "height": header.height, "width": header.width}, annotations


def _objects(shapes: list[dict[str, Any]]) -> dict[tuple[str, Any], list[int]]:
    """Return the positions of each object's shapes, by the object's label and group."""
    found: dict[tuple[str, Any], list[int]] = {}
    for position, shape in enumerate(shapes):
        if _reason_left_out(shape):
            continue
        group = shape.get("group_id")
        # A shape without a group is an object of its own.
        key = position if group in (None, "") else json.dumps(group)
        found.setdefault((shape["label"], key), []).append(position)
    return found


def _encode(shape: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    """Return the RLE of a shape; its points are (x, y) in pixels from the image's corner."""
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("its points are not pairs of finite numbers")
    if kind == "polygon":
        if len(points) < 3:
            raise ValueError(f"{len(points)} points; expected at least 3")
        return to_rle([points.ravel().tolist()], height, width)
    if kind == "mask":
        mask = _paste(shape["mask"], points, height, width)
        return dict(coco_mask.encode(np.asfortranarray(mask)))
    if kind == "circle":
        if len(points) != 2:
            raise ValueError(f"{len(points)} points; expected the center and a point of the circle")
        rows, columns = np.ogrid[:height, :width]
        distance = (columns + 0.5 - points[0, 0]) ** 2 + (rows + 0.5 - points[0, 1]) ** 2
        inside = distance <= ((points[1] - points[0]) ** 2).sum()
        return dict(coco_mask.encode(np.asfortranarray(inside, dtype=np.uint8)))
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if len(points) != 4:
        raise ValueError(f"{len(points)} points; expected the corners")
    return to_rle([points.ravel().tolist()], height, width)


def _paste(encoded: str, points: npt.NDArray[np.float64], height: int, width: int) -> Mask:
    """Decode the mask of a shape and put it into the image; its first point is its top left."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        crop = np.asarray(image.convert("L")) > 0
    x, y = points.min(axis=0).astype(int).tolist()
    mask = np.zeros((height, width), np.uint8)
    if x < 0 or y < 0 or x + crop.shape[1] > width or y + crop.shape[0] > height:
        raise ValueError("the mask extends beyond the image")
    mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return mask
