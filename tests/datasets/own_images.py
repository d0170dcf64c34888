"""Small sets of labeled images, as a user may have them."""

import json

import cv2
import numpy as np

from nbseg.coco import index_coco

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 5, "name": "cow"}]


def labeled(images, sides, categories=CATEGORIES):
    """A COCO json: images by (width, height), and in each one squares by (side, category id)."""
    annotations = [
        {
            "image_id": number,
            "category_id": category,
            "bbox": [0, 0, side, side],
            "area": side * side,
            "segmentation": [[0, 0, side, 0, side, side, 0, side]],
        }
        for number, squares in enumerate(sides, start=1)
        for side, category in squares
    ]
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": width, "height": height}
            for number, (width, height) in enumerate(images, start=1)
        ],
        "annotations": [{"id": n, **entry} for n, entry in enumerate(annotations, start=1)],
        "categories": categories,
    }


def indexed(*arguments):
    return index_coco(labeled(*arguments), "labeled.json", masks=True)


def write_images(folder, count, width=64, height=48):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(1, count + 1):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)


def write_set(folder, count=10, width=64, height=48, side=20):
    """Ten labeled images with a cat each, and a dog in the first; two other images."""
    write_images(folder / "images", count + 2, width, height)
    squares = [[(side, 7)] for _ in range(count)]
    squares[0].append((side, 3))
    content = labeled([(width, height)] * count, squares)
    (folder / "labeled.json").write_text(json.dumps(content))
