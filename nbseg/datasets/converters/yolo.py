"""Read the text files of YOLO's segmentation data sets, one per image."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from nbseg.datasets.converters.drawings import Drawing, Drawings, Drawn
from nbseg.datasets.converters.drawn_shapes import Polygon
from nbseg.datasets.converters.find_images import ImageFinder

# Files with the names of the classes.
NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")


def read_yolo(
    paths: Sequence[Path], folder: Path, finder: ImageFinder, class_name: str | None = None
) -> Drawings:
    """Return the polygons of the rows "class x0 y0 x1 y1 ..." in YOLO's text files.

    The class is a number from 0, and the coordinates are fractions of the image's width and height.
    Rows with a box, which have four numbers after the class, are left out and counted. An empty
    file stands for an image without objects. Text files without labels, such as a license, are left
    out: they do not begin with a row of numbers, and no image has the same name.

    Args:
        paths: the text files. The image of ``a.txt`` is ``a.jpg``, or has another image suffix.
        folder: folder that contains the files. The names of the classes are in a file such as
            ``data.yaml`` or ``classes.txt``, in this folder or in one of the two folders above it.
        finder: finds images by the names of the files.
        class_name: class of all objects if there is no file with the names of the classes.

    Raises:
        FileNotFoundError: an image or the file with the names of the classes is missing.
        ValueError: a row is malformed.
    """
    names_file, classes = _classes(folder, class_name)
    drawings, left_out = [], Counter[str]()
    labels = [path for path in paths if finder.has(path.stem) or is_labels(path)]
    for path in labels:
        drawn = []
        for number, line in enumerate(_text(path).splitlines(), start=1):
            where = f"line {number}"
            values = line.split()
            if not values:
                continue
            try:
                label = classes[int(float(values[0]))] if names_file else None
                points = np.array(values[1:], np.float64)
                if len(points) == 4:
                    left_out["rows with a box instead of a polygon"] += 1
                    continue
                if len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
                    raise ValueError(
                        f"found {len(points)} coordinates; expected finite x and y of at least 3 "
                        "points, or the four numbers of a box"
                    )
                if np.abs(points).max() > 2:
                    raise ValueError(
                        "the coordinates are not fractions of the image's sides, from 0 to 1, but "
                        f"reach {np.abs(points).max():g}"
                    )
            except (ValueError, KeyError) as error:
                reason = (
                    f"the class {error} is not in {names_file}"
                    if isinstance(error, KeyError)
                    else error
                )
                raise ValueError(
                    f"{path}: {where} is malformed ({reason}); correct this line"
                ) from error
            drawn.append(Drawn(label, Polygon((points.reshape(-1, 2),), relative=True), where))
        # Images lie in images/train or train/images if labels lie in labels/train or train/labels.
        parts = path.relative_to(folder).parent.parts
        near = {
            PurePosixPath(*(new for part in parts if (new := {"labels": other}.get(part, part))))
            for other in ("labels", "images", "")
        }
        drawings.append(
            Drawing(finder.find(path.stem, path, [str(path) for path in near]), path, drawn)
        )
    sources = [*labels, *([names_file] if names_file else ())]
    return Drawings("YOLO", drawings, sources, left_out, classes=[*classes.values()])


def is_labels(path: Path) -> bool:
    """Return whether a text file is empty, or starts with a row of a class and coordinates."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            values = [float(value) for value in file.readline().split()]
    except ValueError:
        return False
    return len(values) != 1


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save the file as UTF-8") from error


def _classes(folder: Path, class_name: str | None) -> tuple[Path | None, dict[int, str]]:
    places = [folder, *list(folder.resolve().parents)[:2]]
    found = next(
        (path for place in places for name in NAMES_FILES if (path := place / name).is_file()), None
    )
    if found is None and class_name:
        return None, {}
    if found is None:
        raise FileNotFoundError(
            f"the names of the classes are missing: expected {NAMES_FILES[0]} or classes.txt (one "
            f"name per line) in {folder} or in one of the two folders above it; add such a file, "
            "or give all objects one class (--class NAME)"
        )
    text = _text(found)
    if found.suffix not in (".yaml", ".yml"):
        # A blank line between two names counts as a class, so later names keep their numbers.
        return found, dict(enumerate(map(str.strip, text.rstrip().splitlines())))
    try:
        names = yaml.safe_load(text)["names"]
        if isinstance(names, str):
            raise ValueError("names is a text")
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return found, {int(number): str(name) for number, name in pairs}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{found} has no list 'names' with the names of the classes; add this list"
        ) from error
