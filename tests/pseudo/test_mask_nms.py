"""Suppression by mask overlap against brute force on bitmaps."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from nbseg.ops import reference
from nbseg.pseudo.mask_nms import mask_nms
from nbseg.pseudo.predictions import ImagePredictions

HEIGHT, WIDTH = 64, 80


def image(boxes, scores, labels, soft_masks):
    return ImagePredictions(
        1,
        "1.png",
        HEIGHT,
        WIDTH,
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(scores, np.float32),
        np.asarray(labels, np.int64),
        np.asarray(soft_masks, np.uint8).reshape(-1, 28, 28),
    )


def bitmaps(predictions):
    rles = reference.paste_rle(
        predictions.soft_masks, predictions.boxes, HEIGHT, WIDTH, threshold=0.5
    )
    return np.stack([coco_mask.decode(rle) for rle in rles]).astype(bool)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_equals_brute_force(threshold):
    generator = np.random.default_rng(0)
    removed = 0
    for _ in range(20):
        # Five objects, each predicted six times or so.
        corners = generator.uniform(0, 40, (5, 2))
        objects = np.hstack([corners, corners + generator.uniform(10, 30, (5, 2))])
        boxes = objects[generator.integers(0, 5, 30)] + generator.uniform(-2, 2, (30, 4))
        soft = generator.integers(100, 256, (30, 4, 4)).repeat(7, 1).repeat(7, 2)
        scores = generator.integers(1, 10, 30) / 10
        predictions = image(boxes, scores, generator.integers(0, 3, 30), soft)
        keep = mask_nms(predictions, threshold)

        masks = bitmaps(predictions)
        expected = []
        for i in sorted(range(30), key=lambda i: (-predictions.scores[i], i)):
            overlaps = (
                (masks[i] & masks[j]).sum() / max((masks[i] | masks[j]).sum(), 1) for j in expected
            )
            if all(overlap < threshold for overlap in overlaps):
                expected.append(i)
        assert np.flatnonzero(keep).tolist() == sorted(expected)
        removed += (~keep).sum()
    assert removed > 10


def test_objects_in_one_box_are_two_objects():
    left = np.zeros((28, 28), np.uint8)
    left[:, :14] = 255
    box = [10, 10, 50, 50]
    both = image([box, box], [0.9, 0.8], [0, 1], [left, 255 - left])
    assert mask_nms(both, 0.5).tolist() == [True, True]
    same = image([box, box], [0.8, 0.9], [0, 1], [left, left])
    assert mask_nms(same, 0.5).tolist() == [False, True]


def test_nothing_and_empty_masks():
    assert mask_nms(image([], [], [], []), 0.5).shape == (0,)
    empty = image([[0, 0, 9, 9]] * 2, [0.5, 0.5], [0, 0], np.zeros((2, 28, 28)))
    assert mask_nms(empty, 0.5).tolist() == [True, True]
