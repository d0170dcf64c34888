"""Convert Cityscapes' instance annotations to COCO jsons as MMDetection's converter does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nbseg.datasets.converters.cityscapes_polygons import LABELS, rasterize_polygons
from nbseg.datasets.converters.coco_json import Labeled, Prepared
from nbseg.datasets.converters.instance_map import encode_instances
from nbseg.datasets.converters.plan import Plan, carry_out
from nbseg.datasets.converters.trees import require
from nbseg.image_headers import image_size
from nbseg.images import read_label_image

CLASSES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
CATEGORIES = [{"id": LABELS.index(name), "name": name} for name in CLASSES]
_IDS = frozenset(category["id"] for category in CATEGORIES)
IMAGE_SUFFIX = "_leftImg8bit.png"
TREE = """\
  leftImg8bit/{train,val,train_extra}/CITY/*_leftImg8bit.png
  gtFine/{train,val}/CITY/*_gtFine_{instanceIds.png or polygons.json}
  gtCoarse/train_extra/CITY/*_gtCoarse_{instanceIds.png or polygons.json}
(from leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip; for train_extra also
leftImg8bit_trainextra.zip, gtCoarse.zip)"""


@dataclass(frozen=True)
class Split:
    """Describes a part of Cityscapes with one kind of annotations.

    Attributes:
        annotations: folder of the annotations, gtFine or gtCoarse.
        images: number of images according to www.cityscapes-dataset.com.
        instances: published number of instances of each class, as text such as "17.9k"; empty if
            no numbers are published.
    """

    annotations: str
    images: int
    instances: dict[str, str] = field(default_factory=dict)


SPLITS = {
    "train": Split(
        "gtFine",
        2975,
        # The numbers are from Mask R-CNN (arXiv 1703.06870), section on Cityscapes.
        dict(
            zip(
                CLASSES,
                ("17.9k", "1.8k", "26.9k", "0.5k", "0.4k", "0.2k", "0.7k", "3.7k"),
                strict=True,
            )
        ),
    ),
    "val": Split("gtFine", 500),
    "train_extra": Split("gtCoarse", 19998),
}
# This image is reported to be broken in leftImg8bit_trainextra.zip.
BROKEN = "troisdorf_000000_000073"


def convert_cityscapes(
    root: Path,
    out: Path,
    splits: Sequence[str] | None = None,
    workers: int = 1,
    force: bool = False,
) -> list[Prepared]:
    """Write ``instancesonly_filtered_{gtFine_train,gtFine_val,gtCoarse_train_extra}.json``.

    The jsons follow MMDetection's converter ``cityscapes.py``:

    - Category ids are Cityscapes' label ids (24 to 33).
    - Masks are RLEs made from the instance image (``*_instanceIds.png``).
    - A group of objects becomes one annotation with ``iscrowd`` 1. In the instance image, the
      value of a group's pixels is the label id of its class.
    - Images without instances are kept; MMDetection's ``filter_empty_gt`` drops them in training.

    The jsons differ from those of MMDetection's converter:

    - Images are sorted, so that a seed always draws the same random split.
    - Ids of images and annotations begin at 1.
    - If an instance image is missing, the masks are rasterized from ``*_polygons.json``.

    Args:
        root: folder with leftImg8bit/ and gtFine/.
        out: folder of the jsons.
        splits: any of ``"train"``, ``"val"`` and ``"train_extra"``. None means train and val, and
            also train_extra if leftImg8bit/ and gtCoarse/ both have a folder train_extra/.
        workers: number of processes.
        force: write all jsons again, even if they exist.

    Returns:
        Path, counts and notes of each json. The counts (``summary``) of a json are None if the json
        existed and was kept.

    Raises:
        FileNotFoundError: a required file or folder is missing; nothing was written.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: an image or annotation cannot be read, or an image and its annotation differ in
            size.
    """
    extra, coarse = ((root / name / "train_extra").is_dir() for name in ("leftImg8bit", "gtCoarse"))
    if splits is None:
        splits = ["train", "val"] + ["train_extra"] * (extra and coarse)
    folders = {name: ("leftImg8bit", SPLITS[name].annotations) for name in splits}
    require(root, [f"{f}/{name}" for name, both in folders.items() for f in both], TREE)
    plans = [_plan(root, out, name) for name in splits]
    if extra and not coarse:
        plans[-1].notes.append(
            f"{root / 'leftImg8bit/train_extra'} has no labels in gtCoarse; to use its images as "
            "unlabeled images, list them with `tools/prepare_data.py folder`"
        )
    return carry_out(plans, _load, root, workers, force)


def _files(root: Path, name: str) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return the sorted pairs of an image and its annotation file, and notes for the user."""
    kind = SPLITS[name].annotations
    images = sorted((root / "leftImg8bit" / name).glob(f"*/*{IMAGE_SUFFIX}"))
    if not images:
        require(root, [f"leftImg8bit/{name}/CITY/*{IMAGE_SUFFIX}"], TREE)
    stems = {}
    for suffix in ("polygons.json", "instanceIds.png"):
        ending = f"_{kind}_{suffix}"
        for path in (root / kind / name).glob(f"*/*{ending}"):
            stems[f"{path.parent.name}/{path.name.removesuffix(ending)}"] = path
    pairs = []
    for image in images:
        stem = f"{image.parent.name}/{image.name.removesuffix(IMAGE_SUFFIX)}"
        if stem not in stems:
            require(root, [f"{kind}/{name}/{stem}_{kind}_instanceIds.png"], TREE)
        pairs.append((image, stems.pop(stem)))
    notes = []
    if stems:
        notes.append(f"annotation files without an image: {len(stems)}, the first: {min(stems)}")
    drawn = sum(path.suffix == ".json" for _, path in pairs)
    if drawn:
        notes.append(
            f"{drawn} images have no instanceIds.png; their masks are rasterized from polygons.json"
        )
    if any(BROKEN in image.name for image, _ in pairs):
        notes.append(
            f"{BROKEN}{IMAGE_SUFFIX} is reported to be broken in the archive; open this image, "
            "and check whether it is intact"
        )
    return pairs, notes


def _plan(root: Path, out: Path, name: str) -> Plan:
    split = SPLITS[name]
    pairs, notes = _files(root, name)
    return Plan(
        out / f"instancesonly_filtered_{split.annotations}_{name}.json",
        f"Cityscapes {split.annotations} {name}",
        root / "leftImg8bit" / name,
        CATEGORIES,
        [file for pair in pairs for file in pair],
        pairs,
        split.images,
        split.instances,
        notes,
    )


def _load(files: tuple[Path, Path]) -> Labeled:
    image, labels = files
    ids = rasterize_polygons(labels) if labels.suffix == ".json" else _read_ids(labels)
    size = image_size(image)
    if size is None:
        raise ValueError(f"{image} cannot be read as an image; unpack the archive again")
    if size != ids.shape:
        raise ValueError(
            f"{image} has {size[1]}x{size[0]} pixels, but {labels} has "
            f"{ids.shape[1]}x{ids.shape[0]}; unpack the archives again"
        )
    annotations = [
        {
            "category_id": _category(number),
            "iscrowd": int(number < 1000),
            **annotation,
        }
        for number, annotation in encode_instances(
            ids, lambda number: _category(number) in _IDS
        ).items()
    ]
    city = image.parent.name
    stem = image.name.removesuffix(IMAGE_SUFFIX)
    kind = "gtFine" if "_gtFine_" in labels.name else "gtCoarse"
    return {
        "file_name": f"{city}/{image.name}",
        "height": ids.shape[0],
        "width": ids.shape[1],
        "segm_file": f"{city}/{stem}_{kind}_labelIds.png",
    }, annotations


def _category(number: int) -> int:
    """Return the label id of a pixel value in an instance image."""
    return number // 1000 if number >= 1000 else number


def _read_ids(path: Path) -> npt.NDArray[Any]:
    ids = read_label_image(path)
    if ids.ndim != 2:
        raise ValueError(
            f"{path}: expected an image with one channel, found {ids.shape[2]} channels; unpack "
            "the archive again"
        )
    return ids
