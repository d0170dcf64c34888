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
NAMES_FILES = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")


def read_yolo(paths: Sequence[Path], folder: Path, finder: ImageFinder) -> Drawings:
    """Read rows "class x0 y0 x1 y1 ..." with coordinates as fractions of the image's sides.

    Rows of a class and a box, which have four numbers after the class, are left out and counted.
    An empty file is an image without objects.

    Args:
        paths: the text files. The image of ``a.txt`` is ``a.jpg``, with any suffix of images.
        folder: folder that contains the files. The names of the classes are in ``data.yaml`` or
            ``classes.txt``, in this folder or in one of the two folders above it.
        finder: finds the images.

    Raises:
        FileNotFoundError: an image or the file with the names of the classes is missing.
        ValueError: a row is malformed.
    """
    names_file, classes = _classes(folder)
    drawings, left_out = [], Counter[str]()
    for path in paths:
        drawn = []
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
            where = f"line {number}"
            values = line.split()
            if not values:
                continue
            try:
                label = classes[int(values[0])]
                points = np.array(values[1:], np.float64)
                if len(points) == 4:
                    left_out["rows with a box instead of a polygon"] += 1
                    continue
                if len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
                    raise ValueError(f"{len(points)} coordinates; expected at least 3 points")
                if np.abs(points).max() > 2:
                    raise ValueError("the coordinates are no fractions of the image's sides")
            except (ValueError, KeyError) as error:
                reason = (
                    f"the class {error} is not in {names_file}"
                    if isinstance(error, KeyError)
                    else error
                )
                raise ValueError(f"{path}: {where} is malformed ({reason}); correct it") from error
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
    return Drawings("YOLO", drawings, [*paths, names_file], left_out, classes=[*classes.values()])


def _classes(folder: Path) -> tuple[Path, dict[int, str]]:
    places = [folder, *list(folder.resolve().parents)[:2]]
    found = next(
        (path for place in places for name in NAMES_FILES if (path := place / name).is_file()), None
    )
    if found is None:
        raise FileNotFoundError(
            f"{folder} has no file with the names of the classes: expected {NAMES_FILES[0]} or "
            f"{NAMES_FILES[2]} (one name per line) in this folder or in a folder above it"
        )
    text = found.read_text(encoding="utf-8-sig")
    if found.suffix != ".yaml":
        return found, dict(enumerate(filter(None, map(str.strip, text.splitlines()))))
    try:
        names = yaml.safe_load(text)["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return found, {int(number): str(name) for number, name in pairs}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{found} has no list 'names' of the classes; correct it") from error
