"""Convert BDD100K's instance masks, and its images with boxes but no masks, to COCO jsons."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.coco_masks import to_rle
from nbseg.datasets.converters.coco_json import Labeled, Prepared
from nbseg.datasets.converters.instance_map import annotation_of, encode_instances
from nbseg.datasets.converters.plan import Plan, carry_out
from nbseg.datasets.converters.scalabel import CATEGORIES, labels_of, load_frames, rasterize
from nbseg.datasets.converters.trees import in_documented_format, require, require_all
from nbseg.image_headers import image_size
from nbseg.images import read_label_image

MASKS = ("bitmasks", "rles", "polygons")
SPLITS = {"train": 7000, "val": 1000}
TREE = """\
  images/10k/{train,val}/*.jpg
  labels/ins_seg/bitmasks/{train,val}/*.png
      or labels/ins_seg/{rles,polygons}/ins_seg_{train,val}.json
  images/100k/train/*.jpg and labels/det_20/det_train.json, for the images with boxes only
(from the folder bdd100k of the archives 10K Images, Instance Segmentation, 100K Images and
Detection 2020 Labels)"""
CROWD, IGNORE = 2, 1


def convert_bdd100k(
    root: Path,
    out: Path,
    masks: str | None = None,
    workers: int = 1,
    force: bool = False,
) -> list[Prepared]:
    """Write ``ins_seg_{train,val}.json`` and, for images/100k/train, ``det_train_unlabeled.json``.

    The input formats are those of doc.bdd100k.com/format.html. An instance with the attribute crowd
    or ignored becomes one annotation with ``iscrowd`` 1, as in BDD100K's own script ``to_coco``.

    If images/100k/train exists, its images are the unlabeled set. Images that are also in
    images/10k (train, val or test) are left out. The json of the unlabeled set has the true boxes,
    but no masks. Training on pseudo-labels never reads these boxes. The width of a box is
    ``x2 - x1 + 1``, as in BDD100K's own tools.

    Args:
        root: folder with images/ and labels/.
        out: folder of the jsons.
        masks: format of the masks: ``"bitmasks"``, ``"rles"`` or ``"polygons"``. None chooses the
            first of these formats that has a folder in labels/ins_seg. BDD100K's own evaluation
            uses bitmasks. The masks in ``"rles"`` may overlap. Polygons, which may have Bézier
            curves, are rasterized.
        workers: number of processes.
        force: write all jsons again, even if they exist.

    Returns:
        Path, counts and notes of each json. The counts (``summary``) of a json are None if the json
        existed and was kept.

    Raises:
        FileNotFoundError: a required file or folder is missing; nothing was written.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: a file cannot be read, the sizes of a mask and its image differ, or no label
            has a mask in the chosen format.
    """
    require(root, [f"images/10k/{split}" for split in SPLITS], TREE)
    if masks is None:
        present = [m for m in MASKS if (root / "labels/ins_seg" / m).is_dir()]
        masks = present[0] if present else MASKS[0]
    with_boxes = (root / "images/100k/train").is_dir()
    needed = [_labels(masks, split) for split in SPLITS]
    require(root, needed + ["labels/det_20/det_train.json"] * with_boxes, TREE)
    plans = [_masked_images(root, out, split, masks) for split in SPLITS]
    if with_boxes:
        plans.append(_images_with_boxes(root, out))
    return carry_out(plans, _load, root, workers, force)


def _labels(masks: str, split: str) -> str:
    ending = split if masks == "bitmasks" else f"ins_seg_{split}.json"
    return f"labels/ins_seg/{masks}/{ending}"


def _masked_images(root: Path, out: Path, split: str, masks: str) -> Plan:
    folder = root / "images/10k" / split
    source = root / _labels(masks, split)
    items: list[tuple[Path, Any]] = []
    others: Counter[str] = Counter()
    if masks == "bitmasks":
        items = [(image, source / f"{image.stem}.png") for image in _jpegs(root, folder)]
        require_all(source, [file.name for _, file in items], f"the mask of an image in {folder}")
        sources = [file for _, file in items]
    else:
        frames = load_frames(source)
        require_all(folder, [frame["name"] for frame in frames], f"named in {source}")
        geometry = "rle" if masks == "rles" else "poly2d"
        with in_documented_format(source):
            for frame in frames:
                labels, left_out = labels_of(frame, geometry)
                items.append((folder / frame["name"], labels))
                others += left_out
        if not any(labels for _, labels in items):
            raise ValueError(
                f"{source}: no label has a mask under the key {geometry!r}; choose another format "
                f"with --masks ({', '.join(MASKS)})"
            )
        sources = [source]
    return Plan(
        out / f"ins_seg_{split}.json",
        f"BDD100K ins_seg {split}, {masks}",
        folder,
        CATEGORIES,
        sources + [image for image, _ in items],
        items,
        SPLITS[split],
        notes=_left_out(others),
    )


def _images_with_boxes(root: Path, out: Path) -> Plan:
    folder = root / "images/100k/train"
    source = root / "labels/det_20/det_train.json"
    labeled = {path.name for path in (root / "images/10k").glob("*/*.jpg")}
    found = _jpegs(root, folder)
    images = [image for image in found if image.name not in labeled]
    frames = {frame["name"]: frame for frame in load_frames(source)}
    items: list[tuple[Path, Any]] = []
    others: Counter[str] = Counter()
    with in_documented_format(source):
        for image in images:
            labels, left_out = labels_of(frames.get(image.name, {}), "box2d")
            items.append((image, labels))
            others += left_out
    notes = [
        f"{len(found)} images in {folder} (documented: 70000); {len(found) - len(images)} are "
        "left out because images/10k has them",
        f"{sum(image.name not in frames for image in images)} images are not in {source.name}, so "
        "they have no boxes",
        *_left_out(others),
    ]
    return Plan(
        out / "det_train_unlabeled.json",
        "BDD100K 100k train without 10k, boxes",
        folder,
        CATEGORIES,
        [source, *images],
        items,
        notes=notes,
    )


def _left_out(others: Counter[str]) -> list[str]:
    if not others:
        return []
    counts = ", ".join(f"{name} {count}" for name, count in others.most_common())
    return [f"labels of other classes are left out: {counts}"]


def _jpegs(root: Path, folder: Path) -> list[Path]:
    images = sorted(folder.glob("*.jpg"))
    if not images:
        require(root, [f"{folder.relative_to(root)}/*.jpg"], TREE)
    return images


def _load(item: tuple[Path, Path | Sequence[dict[str, Any]]]) -> Labeled:
    image, source = item
    size = image_size(image)
    if size is None:
        raise ValueError(f"{image} cannot be read as an image; unpack the archive again")
    height, width = size
    if isinstance(source, Path):
        annotations = _from_bitmask(source, height, width)
    else:
        # Name the image in errors, because it shows where in the file of labels the error is.
        with in_documented_format(image):
            annotations = _from_labels(source, height, width, image)
    return {"file_name": image.name, "height": height, "width": width}, annotations


def _from_labels(
    labels: Sequence[dict[str, Any]], height: int, width: int, image: Path
) -> list[dict[str, Any]]:
    if not labels:
        return []
    if "box2d" in labels[0]:
        return [_from_box(label) for label in labels]
    if "rle" in labels[0]:
        return [_from_rle(label, height, width, image) for label in labels]
    return _from_polygons(labels, height, width)


def _from_bitmask(path: Path, height: int, width: int) -> list[dict[str, Any]]:
    """Return the COCO annotations of a bitmask's instances, sorted by instance id.

    In each pixel, R is the category id, G holds the attribute flags, and 256 * B + A is the
    instance id.
    """
    pixels = read_label_image(path)
    if pixels.shape != (height, width, 4):
        raise ValueError(
            f"{path}: expected an RGBA image of {width}x{height} pixels with the shape "
            f"{(height, width, 4)}, found the shape {pixels.shape}; unpack the archive again"
        )
    found = encode_instances(
        pixels.view("<i4")[:, :, 0], lambda number: 1 <= number >> 16 & 255 <= len(CATEGORIES)
    )
    numbered = [
        (
            ((number & 255) << 8) + (number >> 24 & 255),
            {
                "category_id": number >> 16 & 255,
                "iscrowd": int(bool(number >> 8 & (CROWD | IGNORE))),
                **annotation,
            },
        )
        for number, annotation in found.items()
    ]
    return [annotation for _, annotation in sorted(numbered, key=lambda pair: pair[0])]


def _from_box(label: dict[str, Any]) -> dict[str, Any]:
    box = label["box2d"]
    width, height = box["x2"] - box["x1"] + 1, box["y2"] - box["y1"] + 1
    return {
        "category_id": label["category_id"],
        "iscrowd": label["iscrowd"],
        "bbox": [box["x1"], box["y1"], width, height],
        "area": width * height,
    }


def _from_rle(label: dict[str, Any], height: int, width: int, image: Path) -> dict[str, Any]:
    rle = label["rle"]
    if list(rle["size"]) != [height, width]:
        raise ValueError(
            f"{image} has {width}x{height} pixels, but one of its masks has "
            f"{rle['size'][1]}x{rle['size'][0]}; unpack the archives again"
        )
    return {
        "category_id": label["category_id"],
        "iscrowd": label["iscrowd"],
        **annotation_of(to_rle(rle, height, width)),
    }


def _from_polygons(
    labels: Sequence[dict[str, Any]], height: int, width: int
) -> list[dict[str, Any]]:
    ids = rasterize([label["poly2d"] for label in labels], height, width)
    return [
        {
            "category_id": labels[number - 1]["category_id"],
            "iscrowd": labels[number - 1]["iscrowd"],
            **annotation,
        }
        for number, annotation in encode_instances(ids, lambda number: number > 0).items()
    ]
