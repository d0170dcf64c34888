"""Write the jsons of one data set, unless one of them would replace the json of another set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbseg.datasets.converters.coco_json import (
    Labeled,
    Prepared,
    is_prepared,
    source_record,
    write_coco_json,
)
from nbseg.datasets.converters.parallel import parallel_map


@dataclass
class Plan:
    """Describes one json to write.

    Attributes:
        path: path of the json.
        description: text that identifies the set and its options; it is part of the json's
            ``info``.
        image_folder: folder that the json's file names are relative to.
        categories: COCO categories.
        sources: source files; their names and sizes are part of the hash in the json's ``info``.
        items: one item per image, in the order of the json. The argument ``load`` of
            :func:`carry_out` is a function that turns an item into COCO entries.
        documented_images: documented number of images of the full set; None if unknown.
        documented_instances: documented number of instances of each class, as text such as "17.9k";
            empty if unknown.
        notes: lines to print below the counts of the json.
        read: source files whose contents are also part of the hash in the json's ``info``.
    """

    path: Path
    description: str
    image_folder: Path
    categories: list[dict[str, Any]]
    sources: list[Path]
    items: Sequence[Any]
    documented_images: int | None = None
    documented_instances: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    read: Sequence[Path] = ()


def carry_out(
    plans: Sequence[Plan],
    load: Callable[[Any], Labeled],
    root: Path,
    workers: int,
    force: bool,
) -> list[Prepared]:
    """Write the jsons that do not exist yet; with ``force``, write all of them.

    Args:
        plans: plans of the jsons.
        load: module-level function that turns an item of a plan into the COCO entries of an image
            and its annotations.
        root: folder of the data set; the hashes use file names relative to this folder.
        workers: number of processes.
        force: write all jsons again, even if they exist.

    Returns:
        Path, counts and notes of each json, in the order of the plans. The counts (``summary``) of
        a json are None if the json existed and was kept.

    Raises:
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False; nothing was written.
    """
    records = [source_record(plan.description, root, plan.sources, plan.read) for plan in plans]
    done = [
        is_prepared(plan.path, record, force) for plan, record in zip(plans, records, strict=True)
    ]
    results = []
    for plan, record, there in zip(plans, records, done, strict=True):
        summary = None
        if not there:
            content = parallel_map(load, plan.items, workers, plan.description)
            summary = write_coco_json(plan.path, record, plan.categories, content, len(plan.items))
        results.append(
            Prepared(
                plan.path,
                plan.image_folder,
                plan.categories,
                summary,
                plan.documented_images,
                plan.documented_instances,
                plan.notes,
            )
        )
    return results
