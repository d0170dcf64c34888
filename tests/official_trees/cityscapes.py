"""Cityscapes: leftImg8bit_trainvaltest, gtFine_trainvaltest, leftImg8bit_trainextra, gtCoarse."""

import json

import numpy as np

from official_trees.pictures import color, rectangle, write_image, write_png

LABELS = {
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "caravan": 29, "trailer": 30,
    "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
CITIES = {"train": "aachen", "val": "frankfurt", "train_extra": "augsburg"}


def write_cityscapes(
    root, train=4, val=2, train_extra=0, size=(64, 128), seed=0, masks="instanceIds"
):
    """Write leftImg8bit/, gtFine/ and, with ``train_extra``, gtCoarse/.

    Every image has a group (``cargroup``), a deleted object, a license plate and classes that are
    not evaluated; the last of train has no instance.

    Args:
        root: the folder to write into.
        train: number of images, as ``val`` and ``train_extra``.
        size: height and width.
        seed: of everything random.
        masks: ``instanceIds`` writes the PNGs and the polygons, ``polygons`` the latter alone.

    Returns:
        By "SPLIT/CITY/STEM" the (H, W) int32 instance image.
    """
    rng = np.random.default_rng(seed)
    made = {}
    for split, count in {"train": train, "val": val, "train_extra": train_extra}.items():
        kind = "gtCoarse" if split == "train_extra" else "gtFine"
        city = CITIES[split]
        for index in range(count):
            stem = f"{city}_{index:06d}_000019"
            empty = split == "train" and index == count - 1 and count > 1
            objects = _objects(rng, size, empty)
            ids, colors = _paint(objects, size)
            image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
            write_image(image, colors, rng)
            folder = root / kind / split / city
            folder.mkdir(parents=True, exist_ok=True)
            content = {"imgHeight": size[0], "imgWidth": size[1], "objects": objects}
            (folder / f"{stem}_{kind}_polygons.json").write_text(json.dumps(content))
            if masks == "instanceIds":
                write_png(folder / f"{stem}_{kind}_instanceIds.png", ids.astype(np.uint16))
                labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
                write_png(folder / f"{stem}_{kind}_labelIds.png", labels)
            made[f"{split}/{city}/{stem}"] = ids
    return made


def _objects(rng, size, empty):
    height, width = size
    objects = [
        _polygon("sky", (0, 0, width - 1, height // 3)),
        _polygon("road", (0, height // 3 + 1, width - 1, height - 1)),
    ]
    if empty:
        return objects
    objects.append(_polygon("cargroup", rectangle(rng, size)))
    for name in rng.permutation(list(LABELS))[:7]:
        objects.append(_polygon(name, rectangle(rng, size)))
    objects.append({**_polygon("car", rectangle(rng, size)), "deleted": 1})
    objects += [_polygon("car", rectangle(rng, size)), _polygon("car", rectangle(rng, size))]
    objects.append(_polygon("license plate", rectangle(rng, size)))
    return objects


def _polygon(label, box):
    x0, y0, x1, y1 = box
    return {"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}


def _paint(objects, size):
    ids = np.zeros(size, np.int32)
    colors = np.zeros((*size, 3), np.uint8)
    others = {"sky": 23, "road": 7}
    seen = dict.fromkeys(LABELS, 0)
    for item in objects:
        label = item["label"]
        if item.get("deleted") or label == "license plate":
            continue
        number = others.get(label)
        if label == "cargroup":
            number = LABELS["car"]
        elif number is None:
            number = LABELS[label] * 1000 + seen[label]
            seen[label] += 1
        (x0, y0), _, (x1, y1), _ = item["polygon"]
        ids[y0 : y1 + 1, x0 : x1 + 1] = number
        if label not in others:
            name = label.removesuffix("group")
            colors[y0 : y1 + 1, x0 : x1 + 1] = color(list(LABELS).index(name))
    return ids, colors
