"""Write a COCO json image by image; its ``info`` records the source files and options."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbseg.coco import write_coco
from nbseg.files import file_hash
from nbseg.image_options import DEFAULTS, ImageOptions

# Increase this number when a converter's output changes.
VERSION = 1
SAMPLES = 6

# The COCO entries of an image and its annotations, without ids.
Labeled = tuple[dict[str, Any], list[dict[str, Any]]]


@dataclass
class Summary:
    """Counts the content of a COCO json, and keeps some images as samples.

    Attributes:
        images: number of images.
        empty: number of images with no annotations or only crowds.
        instances: number of annotations of each class, without crowds.
        crowds: number of crowds of each class.
        samples: up to six images to draw, with their annotations, evenly spread over the set.
    """

    images: int = 0
    empty: int = 0
    instances: Counter[str] = field(default_factory=Counter)
    crowds: Counter[str] = field(default_factory=Counter)
    samples: list[Labeled] = field(default_factory=list)

    def add(
        self,
        image: dict[str, Any],
        annotations: list[dict[str, Any]],
        names: dict[int, str],
        total: int,
    ) -> None:
        """Count an image and its annotations, and keep some of the added images as samples.

        Args:
            image: the image's entry in the json.
            annotations: annotations of the image.
            names: class names by category id.
            total: number of images that will be added in all; needed to spread the samples evenly.
        """
        if len(self.samples) < SAMPLES and self.images * SAMPLES >= len(self.samples) * total:
            self.samples.append((image, annotations))
        self.images += 1
        crowds = [names[a["category_id"]] for a in annotations if a.get("iscrowd")]
        self.crowds.update(crowds)
        self.instances.update(names[a["category_id"]] for a in annotations if not a.get("iscrowd"))
        self.empty += len(annotations) == len(crowds)


@dataclass
class Prepared:
    """Describes a json that a converter wrote or checked.

    Attributes:
        path: path of the json.
        image_folder: folder that the json's file names are relative to.
        categories: COCO categories.
        summary: counts of the json; None if the json already existed.
        documented_images: documented number of images of the full set; None if unknown.
        documented_instances: documented number of instances of each class, as text such as "17.9k";
            empty if unknown.
        notes: lines to print below the counts.
        image_options: options with which the images are read.
    """

    path: Path
    image_folder: Path
    categories: list[dict[str, Any]]
    summary: Summary | None
    documented_images: int | None = None
    documented_instances: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    image_options: ImageOptions = DEFAULTS


def source_record(
    description: str, root: Path, sources: Iterable[Path], read: Iterable[Path] = ()
) -> dict[str, Any]:
    """Return the ``info`` of a json, which records its source files and options.

    Args:
        description: text that identifies the data set and the options.
        root: folder of the data set; the hash uses file names relative to this folder.
        sources: files that the json is made from. Their names and sizes are part of the hash. Their
            contents are not, because hashing many files would be slow.
        read: files whose contents are part of the hash, because a user may have changed them.

    Returns:
        A dictionary with the keys ``description`` and ``source``. ``source`` is the hash (SHA-256)
        of the description, the files and the version of the converters.
    """
    digest = hashlib.sha256(f"{VERSION} {description}\n".encode())
    for path in sources:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        digest.update(f"{name} {path.stat().st_size}\n".encode())
    for path in read:
        digest.update(f"{file_hash(path)}\n".encode())
    return {"description": description, "source": digest.hexdigest()}


def is_prepared(path: Path, record: dict[str, Any], force: bool) -> bool:
    """Return whether the json ``path`` can be kept: it exists and its ``info`` equals ``record``.

    ``record`` is the result of :func:`source_record`. With ``force``, the result is always False.

    Raises:
        FileExistsError: ``path`` exists, its ``info`` differs, and ``force`` is False.
    """
    if force or not path.exists():
        return False
    with path.open(encoding="utf-8") as file:
        # Read only the info: other tools write the whole json into the first line.
        first = file.readline(4096)
    try:
        found = json.loads(first.rstrip().removesuffix(",") + "}")["info"]
    except (ValueError, KeyError, TypeError):
        found = None
    if found == record:
        return True
    raise FileExistsError(
        f"{path} exists and was "
        f"{'not written by nbseg' if found is None else 'made from other files or options'}; "
        "choose another path (--out), or replace the file (--force)"
    )


def write_coco_json(
    path: Path,
    record: dict[str, Any],
    categories: list[dict[str, Any]],
    content: Iterable[Labeled],
    total: int,
    head: Mapping[str, Any] | None = None,
) -> Summary:
    """Write a COCO json annotation by annotation.

    Only the entries of the images stay in memory until the end. Images and annotations without an
    ``id`` are numbered from 1. The numbers do not start at 0, because COCO's evaluation takes the
    annotation id 0 for "no match".

    Args:
        path: path of the json; the file is renamed into place when it is complete.
        record: ``info`` of the json, see :func:`source_record`.
        categories: COCO categories.
        content: images and their annotations.
        total: number of images in ``content``.
        head: other top-level keys of the json, such as ``licenses``, and their values.

    Returns:
        Counts and samples of the content.
    """
    names = {category["id"]: category["name"] for category in categories}
    summary = Summary()
    images: list[dict[str, Any]] = []

    def numbered() -> Iterator[dict[str, Any]]:
        count = 0
        for image, annotations in content:
            image = {"id": len(images) + 1, **image}
            images.append(image)
            summary.add(image, annotations, names, total)
            for annotation in annotations:
                count += 1
                yield {"id": count, "image_id": image["id"], **annotation}

    tables = {
        "info": record,
        "licenses": [],
        **(head or {}),
        "categories": categories,
        "annotations": numbered(),
        # This list is complete only after the annotations are written.
        "images": images,
    }
    write_coco(path, tables.items())
    return summary
