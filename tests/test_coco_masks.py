"""Segmentations that would crash pycocotools, or use up the memory, are refused."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from nbseg.coco_masks import is_polygon, to_rle

SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]


@pytest.mark.parametrize(
    "broken",
    [
        [[1, 1, 9, 1, 9, 1e9]],  # pycocotools walks to the point and needs gigabytes
        [[1, 1, 9, 1, 9, float("nan")]],
        [[1, 1, 9, 1, 9, 10**400]],
        [[1, 1, 9, 1, 9, "9"]],
        [SQUARE, 3],
        [[1, 1, 9, 1, 9]],
        "SQUARE",
        {"size": [8, 9], "counts": "o"},  # pycocotools reads beyond the end
        {"size": [8, 9], "counts": [5, 3]},
        {"size": [8, 9], "counts": [-5, 77]},
        {"size": [8, 9], "counts": [72.0]},
        {"size": [8, 9], "counts": None},
        {"size": 72, "counts": [72]},
        {"size": [-8, -9], "counts": [72]},
        {"counts": [72]},
    ],
    ids=str,
)
def test_broken_segmentations_are_refused(broken):
    with pytest.raises(ValueError, match="polygon|run lengths|found"):
        to_rle(broken, 8, 9)


def test_a_sum_of_runs_that_differs_from_the_size_is_named():
    message = r"runs add up to 8 pixels, but whose size \[8, 9\] has 72 pixels"
    with pytest.raises(ValueError, match=message):
        to_rle({"size": [8, 9], "counts": [5, 3]}, 8, 9)
    with pytest.raises(ValueError, match="a negative run length"):
        to_rle({"size": [8, 9], "counts": [-5, 77]}, 8, 9)


@pytest.mark.parametrize(
    "mask",
    [[SQUARE], [[1, 1, 3, 3], SQUARE], {"size": [8, 9], "counts": [10, 4, 4, 4, 4, 4, 4, 4, 34]}],
)
def test_sound_segmentations_are_encoded(mask):
    expected = np.zeros((8, 9), np.uint8)
    expected[1:5, 1:5] = 1
    if isinstance(mask, dict):
        expected = np.repeat([0, 1] * 4 + [0], mask["counts"]).reshape(9, 8).T
    assert np.array_equal(coco_mask.decode(to_rle(mask, 8, 9)), expected)


def test_a_polygon_has_three_points_and_an_empty_list_is_an_empty_mask():
    assert is_polygon(SQUARE) and not is_polygon(SQUARE[:4]) and not is_polygon(SQUARE[:5])
    for nothing in (None, [], [[1, 1, 3, 3]]):
        assert not coco_mask.decode(to_rle(nothing, 8, 9)).any()
