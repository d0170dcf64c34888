"""Four images with predictions of known scores and masks."""

import json

import numpy as np

from nbseg.pseudo.predictions import ImagePredictions

HEIGHT, WIDTH = 40, 60

CLASSES = ["cat", "dog", "cow"]


def disc(radius):
    """A soft mask, 1 in the middle, falling to 0 at ``radius`` of half the box."""
    axis = (np.arange(28) + 0.5) / 14 - 1
    distance = np.hypot(axis[None], axis[:, None])
    return (255 * np.clip(2 - 2 * distance / radius, 0, 1)).round().astype(np.uint8)


def images():
    """Scores per image: cats .9 .8 .2 | .7 .05 | -, dogs .6 | .6 | .3; cows only in the first."""
    boxes = np.array([[4, 4, 24, 20], [30, 5, 58, 35], [10.5, 18, 30, 38.25]], np.float32)
    soft = np.stack([disc(1.0), disc(0.8), disc(1.2)])
    first = ImagePredictions(
        11,
        "a/1.png",
        HEIGHT,
        WIDTH,
        np.concatenate([boxes, np.array([[1, 22, 10, 38], [32, 36, 44, 40]], np.float32)]),
        np.array([0.9, 0.8, 0.2, 0.6, 0.99], np.float32),
        np.array([0, 0, 0, 1, 2]),
        np.concatenate([soft, soft[:2]]),
    )
    second = ImagePredictions(
        12,
        "a/2.png",
        HEIGHT,
        WIDTH,
        boxes,
        np.array([0.7, 0.05, 0.6], np.float32),
        np.array([0, 0, 1]),
        soft,
    )
    third = ImagePredictions(
        13,
        "b/1.png",
        HEIGHT,
        WIDTH,
        boxes[:1],
        np.array([0.3], np.float32),
        np.array([1]),
        soft[:1],
    )
    fourth = ImagePredictions(
        14,
        "b/2.png",
        HEIGHT,
        WIDTH,
        boxes[:0],
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        soft[:0],
    )
    return [first, second, third, fourth]


def kept(path):
    content = json.loads(path.read_text())
    return sorted(
        (a["image_id"], a["category_id"], round(a["score"], 6)) for a in content["annotations"]
    )
