"""BDD100K: 10K Images, Instance Segmentation, 100K Images, Detection 2020 Labels."""

import json

import numpy as np
from pycocotools import mask as coco_mask

from official_trees.pictures import color, rectangle, write_image, write_png

_GEOMETRY = {"rles": "rle", "polygons": "poly2d"}
CLASSES = (
    "pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip


def write_bdd100k(root, train=4, val=2, only_boxes=3, size=(64, 128), seed=0, masks=("bitmasks",)):
    """Write images/10k, images/100k and labels/ as BDD100K's archives have them.

    An object is a crowd or ignored now and then; the last class is named ``person`` in the jsons,
    as in the released ones, and other classes and ``other vehicle`` are among them. The first
    image of 10k/train and the one of 10k/test are also in 100k/train, as are ``only_boxes`` others,
    the last of which det_train.json does not name.

    Args:
        root: the folder to write into.
        train: number of images in 10k, as ``val``.
        only_boxes: number of images of 100k alone.
        size: height and width.
        seed: of everything random.
        masks: which of ``bitmasks``, ``rles``, ``polygons``.

    Returns:
        By "SPLIT/NAME" the list of (category id, is crowd or ignored, mask (H, W) bool) of the
        masks as they are seen, in the order of their instance ids.
    """
    rng = np.random.default_rng(seed)
    made = {}
    shared = []
    for split, count in {"train": train, "val": val, "test": 1}.items():
        frames = {kind: [] for kind in ("rles", "polygons")}
        for index in range(count):
            name = f"{split[:2]}{index:06x}-{index:08x}"
            objects = _objects(rng, size)
            ids, colors = _paint(objects, size)
            image = root / f"images/10k/{split}/{name}.jpg"
            write_image(image, colors, rng)
            if split == "test":
                shared.append(image)
                continue
            if split == "train" and index == 0:
                shared.append(image)
            seen = [(o, ids == number) for number, o in enumerate(objects, start=1)]
            made[f"{split}/{name}"] = [
                (o["id"], o["attributes"]["crowd"] or o["ignored"], mask)
                for o, mask in seen
                if mask.any()
            ]
            if "bitmasks" in masks:
                folder = root / "labels/ins_seg/bitmasks" / split
                write_png(folder / f"{name}.png", _bitmask(objects, ids)[:, :, [2, 1, 0, 3]])
            for kind in frames:
                labels = [_scalabel(o, mask, kind) for o, mask in seen if mask.any()]
                other = {_GEOMETRY[kind]: labels[0][_GEOMETRY[kind]]}
                labels.append({"id": "x", "category": "traffic light", **other})
                frames[kind].append({"name": f"{name}.jpg", "labels": labels})
        for kind in frames:
            if kind in masks and split != "test":
                path = root / f"labels/ins_seg/{kind}/ins_seg_{split}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(frames[kind]))
    _write_boxes(root, only_boxes, shared, size, rng)
    return made


def _write_boxes(root, count, shared, size, rng):
    folder = root / "images/100k/train"
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for path in shared:
        (folder / path.name).write_bytes(path.read_bytes())
        frames.append({"name": path.name, "labels": None})
    for index in range(count):
        name = f"b{index:07x}-00000000.jpg"
        objects = _objects(rng, size)
        write_image(folder / name, _paint(objects, size)[1], rng)
        if index < count - 1:
            labels = [_scalabel(o, None, "boxes") for o in objects]
            labels.append({"id": "y", "category": "traffic sign", "box2d": _box2d((1, 1, 3, 3))})
            frames.append({"name": name, "labels": labels})
    path = root / "labels/det_20/det_train.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(frames))


def _objects(rng, size):
    objects = []
    for position, index in enumerate(rng.permutation(8)[:6].tolist()):
        objects.append(
            {
                "rectangle": rectangle(rng, size),
                "id": index + 1,
                "name": "person" if index == 0 else CLASSES[index],
                "attributes": {
                    "occluded": bool(position % 2), "truncated": False, "crowd": position == 3,
                },
                "ignored": False,
            }
        )  # fmt: skip
    objects.append(
        {
            "rectangle": rectangle(rng, size), "id": 3, "name": "other vehicle",
            "attributes": {"occluded": False, "truncated": True, "crowd": False}, "ignored": True,
        }
    )  # fmt: skip
    return objects


def _paint(objects, size):
    ids = np.zeros(size, np.int32)
    colors = np.zeros((*size, 3), np.uint8)
    for number, item in enumerate(objects, start=1):
        x0, y0, x1, y1 = item["rectangle"]
        ids[y0:y1, x0:x1] = number
        colors[y0:y1, x0:x1] = color(item["id"])
    return ids, colors


def _bitmask(objects, ids):
    """(H, W, 4) RGBA; instance ids begin at 250, so that they need both B and A."""
    pixels = np.zeros((*ids.shape, 4), np.uint8)
    for number, item in enumerate(objects, start=1):
        flags = item["attributes"]
        bits = (
            flags["truncated"] << 3 | flags["occluded"] << 2 | flags["crowd"] << 1 | item["ignored"]
        )
        instance = 249 + number
        pixels[ids == number] = item["id"], bits, instance >> 8, instance & 255
    return pixels


def _scalabel(item, mask, kind):
    x0, y0, x1, y1 = item["rectangle"]
    label = {"id": "1", "category": item["name"], "attributes": dict(item["attributes"])}
    if kind == "rles":
        label["rle"] = {"counts": _compressed(mask), "size": list(mask.shape)}
    elif kind == "polygons":
        vertices = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
        label["poly2d"] = [{"vertices": vertices, "types": "LLLL", "closed": True}]
    else:
        label["box2d"] = _box2d((x0, y0, x1, y1))
    return label


def _box2d(rectangle):
    """Scalabel's x2 and y2 are within the box."""
    x0, y0, x1, y1 = rectangle
    return {"x1": x0, "y1": y0, "x2": x1 - 1, "y2": y1 - 1}


def _compressed(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
