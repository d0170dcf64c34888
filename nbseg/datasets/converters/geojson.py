"""Read GeoJSON files with coordinates in pixels, as QuPath writes them: one file per image."""

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.datasets.converters.drawings import Drawing, Drawings, Drawn, reason
from nbseg.datasets.converters.drawn_shapes import Points, Polygon, ring_of
from nbseg.datasets.converters.find_images import ImageFinder
from nbseg.files import read_json

# Properties that can hold the name of a class, in the order in which they are tried.
CLASS_KEYS = ("classification", "class", "label", "category")


def read_geojson(paths: Sequence[Path], folder: Path, finder: ImageFinder) -> Drawings:
    """Return the polygons, which may have holes, of each GeoJSON file.

    The parts of a MultiPolygon are one object. The class of a feature is in the first of these
    properties that the feature has: ``classification``, ``class``, ``label`` and ``category``. The
    property is either the name of the class, or a dictionary with the key ``name`` (QuPath's
    ``classification``). Points, lines and features without a geometry are left out and counted.

    Args:
        paths: the files. The image of ``a.geojson`` is ``a.tif``, or has another image suffix.
        folder: folder that contains the files.
        finder: finds images by the names of the files.

    Raises:
        FileNotFoundError: an image is missing.
        ValueError: a file is not GeoJSON, or a feature is malformed.
    """
    drawings, left_out = [], Counter[str]()
    for path in paths:
        drawn: list[Drawn] = []
        for position, feature in enumerate(features(read_json(path), path)):
            geometry, properties = (feature.get(key) or {} for key in ("geometry", "properties"))
            where = f"features[{position}]"
            if not isinstance(geometry, dict) or not isinstance(properties, dict):
                raise ValueError(
                    f"{path}: the geometry or the properties of {where} are not a json object; "
                    "correct or delete this feature"
                )
            kind = geometry.get("type")
            if kind not in ("Polygon", "MultiPolygon"):
                left_out[
                    f"features of the type {kind}" if kind else "features without a geometry"
                ] += 1
                continue
            label = _label(properties)
            try:
                coordinates = geometry["coordinates"]
                parts = [coordinates] if kind == "Polygon" else coordinates
                filled = [rings for rings in parts if rings]
                left_out["features without coordinates"] += not filled
                drawn += [
                    Drawn(label, Polygon(tuple(map(_ring, rings))), where, where)
                    for rings in filled
                ]
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{path}: {where} is a malformed {kind} ({reason(error)}); correct or delete it"
                ) from error
        near = [path.relative_to(folder).parent.as_posix()]
        drawings.append(Drawing(finder.find(path.stem, path, near), path, drawn))
    return Drawings("GeoJSON", drawings, paths, +left_out)


def features(content: Any, path: Path) -> list[dict[str, Any]]:
    """Return the features of a FeatureCollection, of a list of features, or of one feature.

    Raises:
        ValueError: the content is none of these.
    """
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    found = content if isinstance(content, list) else [content]
    if not all(isinstance(entry, dict) and entry.get("type") == "Feature" for entry in found):
        raise ValueError(
            f"{path} is not GeoJSON: expected a FeatureCollection, a list of features or one "
            "feature; export the labels again"
        )
    return found


def _label(properties: dict[str, Any]) -> str | None:
    for key in CLASS_KEYS:
        value = properties.get(key)
        if isinstance(value, str) and value.startswith("{"):
            # geopandas writes QuPath's classification as text.
            with contextlib.suppress(ValueError):
                value = json.loads(value)
        if isinstance(value, dict):
            value = _name(value)
        if value not in (None, ""):
            return str(value)
    return None


def _name(classification: dict[str, Any]) -> str:
    """Return the name of a QuPath class; for a derived class, return "PARENT: NAME"."""
    if isinstance(names := classification.get("names"), list):
        return ": ".join(map(str, names))
    parent = classification.get("parentClass")
    above = _name(parent) if isinstance(parent, dict) else ""
    return ": ".join(filter(None, (above, str(classification.get("name") or ""))))


def _ring(points: Any) -> Points:
    """Return x and y of a ring's points, shape (N, 2); a third coordinate is dropped."""
    return ring_of([point[:2] for point in points])
