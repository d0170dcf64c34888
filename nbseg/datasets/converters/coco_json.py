"""A COCO json written image by image, that knows what it was made from."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbseg.coco import write_coco

# Raised when a converter begins to write something else.
VERSION = 1
SAMPLES = 6

# An image and its annotations, without ids.
Labeled = tuple[dict[str, Any], list[dict[str, Any]]]


@dataclass
class Summary:
    """What a COCO json holds.

    Attributes:
        images: number of images.
        empty: number of images without an annotation that is no crowd.
        instances: number of annotations by class, without crowds.
        crowds: number of crowds by class.
        samples: images with their annotations, spread over the set, to look at.
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
        """Count an image of ``total``."""
        if len(self.samples) < SAMPLES and self.images * SAMPLES >= len(self.samples) * total:
            self.samples.append((image, annotations))
        self.images += 1
        crowds = [names[a["category_id"]] for a in annotations if a.get("iscrowd")]
        self.crowds.update(crowds)
        self.instances.update(names[a["category_id"]] for a in annotations if not a.get("iscrowd"))
        self.empty += len(annotations) == len(crowds)


@dataclass
class Prepared:
    """A json that a converter answers for.

    Attributes:
        path: of the json.
        image_folder: that its file names are relative to.
        categories: COCO categories.
        summary: None if it was there already.
        documented_images: how many images the full set has by its documentation, if known.
        documented_instances: likewise the instances by class, as they are documented.
        notes: what a user should know.
    """

    path: Path
    image_folder: Path
    categories: list[dict[str, Any]]
    summary: Summary | None
    documented_images: int | None = None
    documented_instances: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def source_record(description: str, root: Path, sources: Iterable[Path]) -> dict[str, Any]:
    """Return the ``info`` of a json made from the files ``sources`` below ``root``.

    Their names and sizes are hashed, not their contents: thousands of files take milliseconds.
    """
    digest = hashlib.sha256(f"{VERSION} {description}\n".encode())
    for path in sources:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        digest.update(f"{name} {path.stat().st_size}\n".encode())
    return {"description": description, "source": digest.hexdigest()}


def is_prepared(path: Path, record: dict[str, Any], force: bool) -> bool:
    """Tell whether ``path`` was made from what the record says.

    Raises:
        FileExistsError: it is there, was made from something else, and not ``force``.
    """
    if force or not path.exists():
        return False
    with path.open(encoding="utf-8") as file:
        # A json in one line, as other tools write it, may be large.
        first = file.readline(4096)
    try:
        found = json.loads(first.rstrip().removesuffix(",") + "}")["info"]
    except (ValueError, KeyError, TypeError):
        found = None
    if found == record:
        return True
    raise FileExistsError(
        f"{path} exists and was "
        f"{'made by other means' if found is None else 'made from other files or options'}: "
        "choose another folder (--out), or replace it by --force"
    )


def write_coco_json(
    path: Path,
    record: dict[str, Any],
    categories: list[dict[str, Any]],
    content: Iterable[Labeled],
    total: int,
    **head: Any,
) -> Summary:
    """Write images and annotations as they come; only the images are held until the end.

    Images and annotations without an ``id`` are numbered from 1: COCO's evaluation takes a match
    with an annotation of id 0 for none.

    Args:
        path: of the json, which appears whole or not at all.
        record: its ``info``, see :func:`source_record`.
        categories: COCO categories.
        content: images and their annotations.
        total: number of images to come.
        **head: other keys of the json.
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
        **head,
        "categories": categories,
        "annotations": numbered(),
        # The list is full once the annotations are written.
        "images": images,
    }
    write_coco(path, tables.items())
    return summary
