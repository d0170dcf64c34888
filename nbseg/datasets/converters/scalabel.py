"""Read labels in Scalabel's json format, which BDD100K uses."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from nbseg.files import read_json

# The eight classes with instances; their ids begin at 1, as in the R channel of the bitmasks.
CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
CATEGORIES = [{"id": index, "name": name} for index, name in enumerate(CLASSES, start=1)]
_IDS = {name: index for index, name in enumerate(CLASSES, start=1)}
# The official tools (bdd100k, configs/ins_seg.toml) rename the labels in _SAME. They turn labels in
# _IGNORED into ignored objects of another class.
_SAME = {
    "bike": "bicycle", "caravan": "car", "motor": "motorcycle", "person": "pedestrian",
    "van": "car",
}  # fmt: skip
_IGNORED = {"other person": "pedestrian", "other vehicle": "car", "trailer": "truck"}


def load_frames(path: Path) -> list[dict[str, Any]]:
    """Return the frames of a Scalabel json; a frame is the dictionary of an image and its labels.

    The json must be a list of frames, or a dictionary with this list under the key ``frames``.

    Raises:
        ValueError: the json has another structure.
    """
    content = read_json(path)
    frames = content.get("frames") if isinstance(content, dict) else content
    if not isinstance(frames, list) or not all(
        isinstance(f, dict) and isinstance(f.get("name"), str) for f in frames
    ):
        raise ValueError(
            f"{path} is not in Scalabel's format: expected a list of frames, each with a name; "
            "unpack the archive again"
        )
    return frames


def labels_of(frame: dict[str, Any], geometry: str) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return the labels of a frame that have the given geometry and one of the ``CLASSES``.

    Args:
        frame: frame from :func:`load_frames`.
        geometry: ``box2d``, ``poly2d`` or ``rle``.

    Returns:
        ``(labels, others)``. ``labels`` has one dict per label. Its keys are ``category_id``,
        ``iscrowd`` and the geometry. ``iscrowd`` is 1 for crowds, and for labels that BDD100K's own
        tools ignore. ``others`` counts the labels of each other class that have the geometry.
    """
    found: list[dict[str, Any]] = []
    others: Counter[str] = Counter()
    for label in frame.get("labels") or []:
        if not label.get(geometry):
            continue
        name = label["category"]
        ignored = name in _IGNORED
        name = _IGNORED.get(name, _SAME.get(name, name))
        if name not in _IDS:
            others[name] += 1
            continue
        attributes = label.get("attributes") or {}
        crowd = attributes.get("crowd") or attributes.get("ignored") or ignored
        found.append(
            {"category_id": _IDS[name], "iscrowd": int(bool(crowd)), geometry: label[geometry]}
        )
    return found, others


def rasterize(objects: list[list[dict[str, Any]]], height: int, width: int) -> npt.NDArray[Any]:
    """Draw objects that are given by ``poly2d`` outlines.

    Outlines consist of lines and cubic Bézier curves. Later objects cover earlier objects.
    matplotlib draws without anti-aliasing, as in BDD100K's own script ``to_mask``. With the same
    version of matplotlib, this script draws equal masks. The released bitmasks differ from these
    masks along the outlines.

    Args:
        objects: outlines of each object. An outline has ``vertices`` (x, y), ``types`` and
            ``closed``. ``types`` has one letter per vertex: L for the end of a line, and C for each
            of the three points of a curve.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        Array of shape (H, W), int32: 1 + the object's index in ``objects``, or 0 for background.
    """
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    for index, outlines in enumerate(objects, start=1):
        color = (index // 65536 / 255, index // 256 % 256 / 255, index % 256 / 255)
        for outline in outlines:
            axes.add_patch(_patch(outline, color))
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    red, green, blue, _ = np.moveaxis(pixels.astype(np.int32), 2, 0)
    return np.asarray(red * 65536 + green * 256 + blue)


def _patch(outline: dict[str, Any], color: tuple[float, float, float]) -> PathPatch:
    points = [tuple(point) for point in outline["vertices"]]
    codes = [Outline.CURVE4 if kind == "C" else Outline.LINETO for kind in outline["types"]]
    codes[0] = Outline.MOVETO
    closed = outline.get("closed", True)
    if closed:
        points.append(points[0])
        codes.append(Outline.LINETO)
    return PathPatch(
        Outline(points, codes),
        facecolor=color if closed else "none",
        edgecolor=color,
        linewidth=0 if closed else 1,
        antialiased=False,
        snap=True,
    )
