"""Read the jsons of labelme, one per image."""

import base64
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.datasets.converters.drawings import Drawing, Drawings, Drawn, reason, whole_size
from nbseg.datasets.converters.drawn_shapes import Bitmap, Ellipse, Polygon, Shape, rectangle
from nbseg.datasets.converters.find_images import ImageFinder
from nbseg.files import read_json

SHAPES = ("polygon", "rectangle", "oriented_rectangle", "circle", "mask")
# labelme's name for objects that should not be used.
IGNORED = "__ignore__"


def read_labelme(paths: Sequence[Path], folder: Path, finder: ImageFinder) -> Drawings:
    """Return the polygons, rectangles, oriented rectangles, circles and masks of labelme's jsons.

    Shapes with the same label and the same ``group_id`` are parts of one object. Lines, points and
    other shapes are left out and counted, as are shapes with the label ``__ignore__``.

    Args:
        paths: the jsons.
        folder: folder that contains the jsons.
        finder: finds the image of a json. If the file that ``imagePath`` names does not exist, the
            finder searches the image folder for an image with the same file name.

    Raises:
        FileNotFoundError: the image of a json is missing.
        ValueError: a file is no json of labelme, its image is outside the image folder, or a shape
            is malformed.
    """
    drawings, left_out = [], Counter[str]()
    for path in paths:
        content = read_json(path)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            raise ValueError(
                f"{path} is no json of labelme: it has no list 'shapes'; move other jsons to "
                "another folder"
            )
        drawn = []
        for position, shape in enumerate(shapes):
            if not isinstance(shape, dict) or not isinstance(shape.get("label"), str | int):
                raise ValueError(
                    f"{path}: shapes[{position}] has no text as its label; set the label in labelme"
                )
            kind = shape.get("shape_type") or "polygon"
            if shape["label"] == IGNORED:
                left_out[f"shapes with the label {IGNORED}"] += 1
            elif kind not in SHAPES:
                left_out[f"shapes of the type {kind}"] += 1
            else:
                drawn.append(_drawn(shape, kind, f"shapes[{position}]", path))
        size = whole_size(content.get("imageHeight"), content.get("imageWidth"), path)
        drawings.append(
            Drawing(
                _image_of(content, path, folder, finder),
                path,
                drawn,
                size,
            )
        )
    return Drawings("labelme", drawings, paths, left_out)


def _image_of(content: dict[str, Any], path: Path, folder: Path, finder: ImageFinder) -> str:
    """Return the path of a json's image, relative to the image folder."""
    given = str(content.get("imagePath") or "").replace("\\", "/")
    stored, images = (Path(os.path.abspath(p)) for p in (path.parent / given, finder.folder))
    if stored.is_file():
        if stored.is_relative_to(images):
            return stored.relative_to(images).as_posix()
        raise ValueError(
            f"{path} is for the image {stored}, which is not in {images}; give the folder of the "
            "images that the labels were drawn on (--images)"
        )
    return finder.find(
        Path(given).name or path.stem, path, [path.relative_to(folder).parent.as_posix()]
    )


def _drawn(shape: dict[str, Any], kind: str, where: str, path: Path) -> Drawn:
    group = shape.get("group_id")
    try:
        return Drawn(
            str(shape["label"]),
            _shape(shape, kind),
            where,
            None if group in (None, "") else json.dumps(group),
        )
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise ValueError(
            f"{path}: {where} is a malformed {kind} ({reason(error)}); correct or delete it in "
            "labelme"
        ) from error


def _shape(shape: dict[str, Any], kind: str) -> Shape:
    points = np.asarray(shape["points"], np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("its points are not pairs of finite numbers")
    if kind == "polygon":
        if len(points) < 3:
            raise ValueError(f"found {len(points)} points; expected at least 3")
        return Polygon((points,))
    if kind == "mask":
        # Moving a mask with the mouse makes its corners fractional.
        left, top = np.round(points.min(axis=0)).astype(int).tolist()
        return Bitmap(_decode(shape["mask"]), top, left)
    if kind == "circle":
        if len(points) != 2:
            raise ValueError(
                f"found {len(points)} points; expected two points, the center and a border point"
            )
        radius = float(np.hypot(*(points[1] - points[0])))
        return Ellipse((points[0, 0], points[0, 1]), (radius, radius))
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return rectangle(x0, y0, x1 - x0, y1 - y0)
    if len(points) != 4:
        raise ValueError(f"found {len(points)} points; expected 4 corners")
    return Polygon((points,))


def _decode(encoded: str) -> npt.NDArray[np.bool_]:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return np.asarray(image.convert("L")) > 0
