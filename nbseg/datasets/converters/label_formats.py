"""Recognize the format of labels, and find the files that hold them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.datasets.converters.yolo import NAMES_FILES, is_labels
from nbseg.datasets.label_suffixes import SUFFIXES
from nbseg.files import read_json
from nbseg.image_names import IMAGE_SUFFIXES, files_below, spread

# Largest number of XML files, and of jsons, in a folder that are read to recognize the format.
SEARCHED = 20


def find_labels(path: Path, out: Path, kind: str | None = None) -> tuple[str, list[Path]]:
    """Return the format of a file or folder, and the files of this format.

    Args:
        path: the file or folder.
        out: the json to write. If the folder ``path`` contains a COCO json of this path, the file
            is left out, because an earlier import may have written it.
        kind: one of ``nbseg.datasets.label_suffixes.FORMATS``; None to recognize the format.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: the format is unknown, the folder has no file of the format, or ``out`` is one
            of the files to import.
    """
    if path.is_file():
        if out.exists() and out.samefile(path):
            raise ValueError(
                f"{out} is the file to import; give another path for the new json (--out)"
            )
        if path.suffix.lower() == ".xml":
            kind = kind or "cvat"
        return kind or _format_of(path) or _unknown(path), [path]
    if not path.is_dir():
        raise FileNotFoundError(f"there is no file or folder {path}; correct the path")
    files = [path / name for name in files_below(path)]
    written = [file for file in files if out.exists() and file.samefile(out)]
    if written and _json_format(written[0]) in ("labelme", "label-studio", "geojson"):
        raise ValueError(
            f"{out} is a file to import, because {path} contains it; give another path for the new "
            "json (--out)"
        )
    files = [file for file in files if file not in written and file.name not in NAMES_FILES]
    kind = kind or _format_of_folder(files) or _unknown(path)
    suffixes = SUFFIXES[kind]
    if kind == "geojson" and any(file.suffix.lower() == ".geojson" for file in files):
        suffixes = (".geojson",)
    found = [file for file in files if file.suffix.lower() in suffixes]
    if kind in ("coco", "cvat", "label-studio"):
        found = [file for file in found if _format_of(file) == kind] or found
    if not found:
        raise ValueError(
            f"{path} has no {kind} files, whose names end in {', '.join(suffixes)}; correct the "
            "path or --format"
        )
    return kind, found


def _format_of_folder(files: Sequence[Path]) -> str | None:
    by_suffix: dict[str, list[Path]] = {}
    for file in files:
        by_suffix.setdefault(file.suffix.lower(), []).append(file)
    if ".geojson" in by_suffix:
        return "geojson"
    for suffix in (".xml", ".json"):
        for file in spread(by_suffix.get(suffix, []), SEARCHED):
            if kind := _format_of(file):
                return kind
    # Other programs write text files, too: cellpose writes outlines, YOLO lists of images.
    texts = by_suffix.get(".txt", [])
    stems = {file.stem for suffix in IMAGE_SUFFIXES for file in by_suffix.get(suffix, [])}
    for file in texts:
        # An empty file is an image without objects.
        if is_labels(file) and (file.stat().st_size or file.stem in stems or not stems):
            return "yolo"
    return "label-images" if stems else None


def _format_of(file: Path) -> str | None:
    """Return the format of a file; None if it is unknown."""
    suffix = file.suffix.lower()
    if suffix == ".xml":
        with file.open("rb") as stream:
            return "cvat" if b"<annotations" in stream.read(1000) else None
    if suffix == ".geojson":
        return "geojson"
    if suffix == ".json":
        return _json_format(file)
    if suffix == ".txt":
        return "yolo"
    return "label-images" if suffix in IMAGE_SUFFIXES else None


def _json_format(file: Path) -> str | None:
    if file.suffix.lower() != ".json":
        return None
    content: Any = read_json(file)
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return None
    if isinstance(first.get("images"), list):
        return "coco"
    if isinstance(first.get("shapes"), list):
        return "labelme"
    if first.get("type") in ("FeatureCollection", "Feature"):
        return "geojson"
    return (
        "label-studio" if "data" in first and {"annotations", "predictions"} & set(first) else None
    )


def _unknown(path: Path) -> str:
    raise ValueError(
        f"{path} is in no known format. The known formats are label images, COCO jsons, jsons of "
        'labelme, XML files of CVAT ("CVAT for images"), jsons of Label Studio ("JSON"), GeoJSON '
        "files and text files of YOLO. Name the format (--format), and unpack archives first"
    )
