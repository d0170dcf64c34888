"""Check a download of COCO 2017 and write the jsons that semi-supervised training needs."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbseg.coco import read_coco
from nbseg.datasets.converters.coco_json import (
    Labeled,
    Prepared,
    Summary,
    is_prepared,
    source_record,
    write_coco_json,
)
from nbseg.datasets.converters.folder import images_of
from nbseg.datasets.converters.parallel import with_progress
from nbseg.datasets.converters.trees import require, require_all

TREE = """\
  train2017/*.jpg, val2017/*.jpg
  annotations/{instances_train2017,instances_val2017}.json
  unlabeled2017/*.jpg and annotations/image_info_unlabeled2017.json, for the unlabeled images
  annotations/instances_val2014.json, for val35k
(from train2017.zip, val2017.zip, annotations_trainval2017.zip; unlabeled2017.zip,
image_info_unlabeled2017.zip; annotations_trainval2014.zip)"""
LABELED = ("train2017", "val2017")
VAL35K = "instances_train2017-val35k"
# The numbers of images are from cocodataset.org; val35k and train2014 follow from the 2014 release.
DOCUMENTED = {
    "train2017": 118287,
    "val2017": 5000,
    "unlabeled2017": 123403,
    "val35k": 35504,
    "train2014": 82783,
}


def convert_coco(
    root: Path,
    out: Path,
    val2014: Path | None = None,
    workers: int = 1,
    force: bool = False,
) -> list[Prepared]:
    """Check COCO 2017, and write jsons of val35k, train2014 and unlabeled2017.

    train2017 consists of two parts: train2014, and val35k, which are the 35k images of val2014 that
    are not in val2017 (minival). Only the image ids in instances_val2014.json tell the parts apart;
    file names and ``coco_url`` do not. ``instances_train2017-val35k.json`` has the images of
    val35k. ``instances_train2017-val35k-unlabeled.json`` has the images of train2014, which serve
    as unlabeled images. The json keeps their true annotations, but training reads these annotations
    only for the oracle, a model that shows which AP perfect pseudo-labels could reach.

    ``instances_unlabeled2017.json`` has the images of image_info_unlabeled2017.json. It also has
    the categories of train2017, because MMDetection needs categories. If
    image_info_unlabeled2017.json is missing, ``instances_unlabeled2017.json`` lists the images in
    unlabeled2017/. If unlabeled2017/ is missing, ``instances_unlabeled2017.json`` is not written.

    Args:
        root: folder with train2017/, val2017/ and annotations/.
        out: folder of the jsons.
        val2014: path of instances_val2014.json; None means the file in annotations/. Without this
            file, the jsons of val35k and train2014 are not written.
        workers: number of processes.
        force: write all jsons again, even if they exist.

    Returns:
        Path, counts and notes of each downloaded json and of each json in ``out``. If all jsons in
        ``out`` existed before, the downloaded jsons are not checked and have no entry.

    Raises:
        FileNotFoundError: a required file or folder is missing, or an image of a json is missing.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: a json is not a COCO json, ``val2014`` is not instances_val2014.json, or an
            unlabeled image cannot be read.
    """
    jsons = [f"annotations/instances_{name}.json" for name in LABELED]
    require(root, [*LABELED, *jsons], TREE)
    train = root / jsons[0]
    records = {}
    if val2014 is not None or (root / "annotations/instances_val2014.json").exists():
        val2014 = val2014 or root / "annotations/instances_val2014.json"
        for name in (f"{VAL35K}.json", f"{VAL35K}-unlabeled.json"):
            records[out / name] = source_record(f"COCO {name}", root, [train, val2014])
    unlabeled = root / "unlabeled2017"
    image_info = root / "annotations/image_info_unlabeled2017.json"
    if unlabeled.is_dir():
        sources = [image_info] if image_info.exists() else sorted(unlabeled.glob("*.jpg"))
        path = out / "instances_unlabeled2017.json"
        records[path] = source_record(f"COCO {path.name}", root, sources)
    todo = {path for path, record in records.items() if not is_prepared(path, record, force)}

    results = [Prepared(path, root, [], None) for path in records if path not in todo]
    if records and not todo:
        return results
    content = _read(train)
    for name, labeled in (("train2017", content), ("val2017", _read(root / jsons[1]))):
        results.append(_checked(root, name, labeled))
    if val2014 is None:
        results[-1].notes.append(
            f"{VAL35K}.json was not written, because annotations/instances_val2014.json is "
            f"missing; if you need {VAL35K}.json, unpack annotations_trainval2014.zip, and run the "
            "command again"
        )
    parts = _parts_of_2014(content["images"], val2014) if val2014 else {}
    categories = content["categories"]
    for path in sorted(todo):
        if "unlabeled2017" in path.name:
            folder, known = unlabeled, DOCUMENTED["unlabeled2017"]
            images, head = _unlabeled_images(unlabeled, image_info, workers)
            pairs: Iterator[Labeled] = ((image, []) for image in images)
        else:
            part = "train2014" if path.stem.endswith("-unlabeled") else "val35k"
            folder, known = root / "train2017", DOCUMENTED[part]
            images, head = parts[part], {"licenses": content.get("licenses", [])}
            pairs = _labeled(content, images)
        shown = with_progress(pairs, len(images), f"writing {path.name}")
        summary = write_coco_json(path, records[path], categories, shown, len(images), head)
        results.append(Prepared(path, folder, categories, summary, known))
    return results


def _read(path: Path, *tables: str) -> dict[str, Any]:
    # Announce the file: the json module parses it in one step and cannot report progress.
    print(f"reading {path} ({path.stat().st_size / 1e6:.0f} MB)", file=sys.stderr)
    return read_coco(path, tables) if tables else read_coco(path)


def _parts_of_2014(images: list[dict[str, Any]], val2014: Path) -> dict[str, list[dict[str, Any]]]:
    """Divide the images of train2017 by their origin.

    Returns:
        A dictionary with the keys "val35k" (images from val2014) and "train2014".
    """
    ids = {image["id"] for image in _read(val2014, "images")["images"]}
    val35k = [image for image in images if image["id"] in ids]
    train2014 = [image for image in images if image["id"] not in ids]
    if not val35k or not train2014:
        raise ValueError(
            f"{val2014} is not the official instances_val2014.json: expected some but not all "
            f"images of train2017 in it, found {len(val35k)} of {len(images)}; give the official "
            "file (--val2014 FILE)"
        )
    return {"val35k": val35k, "train2014": train2014}


def _labeled(content: dict[str, Any], images: list[dict[str, Any]]) -> Iterator[Labeled]:
    annotations: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in images}
    for annotation in content["annotations"]:
        if annotation["image_id"] in annotations:
            annotations[annotation["image_id"]].append(annotation)
    for image in images:
        yield image, annotations[image["id"]]


def _checked(root: Path, name: str, content: dict[str, Any]) -> Prepared:
    """Return the counts of a downloaded json, after a check that all its images exist."""
    path = root / "annotations" / f"instances_{name}.json"
    require_all(
        root / name, [image["file_name"] for image in content["images"]], f"listed in {path}"
    )
    names = {category["id"]: category["name"] for category in content["categories"]}
    summary = Summary()
    for image, annotations in _labeled(content, content["images"]):
        summary.add(image, annotations, names, len(content["images"]))
    return Prepared(path, root / name, content["categories"], summary, DOCUMENTED[name])


def _unlabeled_images(
    folder: Path, image_info: Path, workers: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    if not image_info.exists():
        return images_of(folder, workers), {}
    content = _read(image_info, "images")
    require_all(
        folder, [image["file_name"] for image in content["images"]], f"listed in {image_info}"
    )
    return content["images"], {"licenses": content.get("licenses", [])}
