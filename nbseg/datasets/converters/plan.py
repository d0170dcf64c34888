"""Several jsons of one data set: all are decided on before the first is written."""

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
    """One json that is to be made image by image.

    Attributes:
        path: of the json.
        description: what it is; jsons of another description count as another set.
        image_folder: that its file names are relative to.
        categories: COCO categories.
        sources: files that it is made from; others, or other sizes, count as another set.
        items: what makes each image, in their order.
        documented_images: see :class:`Prepared`, as ``documented_instances`` and ``notes``.
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


def carry_out(
    plans: Sequence[Plan],
    load: Callable[[Any], Labeled],
    root: Path,
    workers: int,
    force: bool,
) -> list[Prepared]:
    """Make the jsons that are not there yet.

    Args:
        plans: what to make.
        load: gives the image and its annotations of an item; a function of a module.
        root: of the data set.
        workers: processes.
        force: replace a json that was made from something else.

    Raises:
        FileExistsError: see :func:`nbseg.datasets.converters.coco_json.is_prepared`.
    """
    records = [source_record(plan.description, root, plan.sources) for plan in plans]
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
