"""Images, boxes and masks with rows and columns swapped, alone and with MMDetection's flips."""

from collections import Counter

import numpy as np
import pycocotools.mask
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.datasets.random_transpose import RandomTranspose
from nbseg.registry import TRANSFORMS

HEIGHT, WIDTH = 12, 17
# An L, a rectangle at the corner and one pixel, with corners at whole numbers.
POLYGONS = [
    [[2, 3, 9, 3, 9, 5, 4, 5, 4, 10, 2, 10]],
    [[12, 0, 17, 0, 17, 4, 12, 4]],
    [[7, 11, 8, 11, 8, 12, 7, 12]],
]
BOXES = [[2, 3, 9, 10], [12, 0, 17, 4], [7, 11, 8, 12]]
# Both corners of each box, as columns (x, y, 1).
CORNERS = np.insert(np.reshape(BOXES, (6, 2)), 2, 1, axis=1).T
BITMAPS = np.zeros((3, HEIGHT, WIDTH), np.uint8)
BITMAPS[0, 3:10, 2:4] = BITMAPS[0, 3:5, 2:9] = BITMAPS[1, :4, 12:] = BITMAPS[2, 11, 7] = 1
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
MASKS = {
    "CroppedMasks": lambda: CroppedBitmapMasks.from_bitmaps(BITMAPS),
    "BitmapMasks": lambda: BitmapMasks(BITMAPS, HEIGHT, WIDTH),
    "PolygonMasks": lambda: PolygonMasks(
        [[np.array(p, float) for p in polygons] for polygons in POLYGONS], HEIGHT, WIDTH
    ),
}
SYMMETRIES = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]


def moved(array, turns, mirrored, axes=(0, 1)):
    array = np.rot90(array, turns, axes)
    return np.flip(array, axes[1]) if mirrored else array


def tight_boxes(bitmaps):
    spans = [[np.flatnonzero(bitmap.any(axis)) for axis in (0, 1)] for bitmap in bitmaps]
    return [[x[0], y[0], x[-1] + 1, y[-1] + 1] for x, y in spans]


def areas(bitmaps):
    encoded = pycocotools.mask.encode(np.asfortranarray(bitmaps.transpose(1, 2, 0)))
    return pycocotools.mask.area(encoded).tolist()


@pytest.mark.parametrize("masks", MASKS)
def test_flips_and_transpositions_make_the_eight_symmetries(masks):
    flip = {"type": "RandomFlip", "prob": 0.75}
    flip["direction"] = ["horizontal", "vertical", "diagonal"]
    pipeline = Compose([TRANSFORMS.build(flip), TRANSFORMS.build({"type": "RandomTranspose"})])
    np.random.seed(0)
    found = Counter()
    for _ in range(120):
        results = pipeline(
            {
                "img": IMAGE,
                "img_shape": (HEIGHT, WIDTH),
                "gt_bboxes": HorizontalBoxes(BOXES, dtype=torch.float32),
                "gt_masks": MASKS[masks](),
                "gt_seg_map": BITMAPS[0].astype(np.int64),
            }
        )
        (symmetry,) = [s for s in SYMMETRIES if np.array_equal(moved(IMAGE, *s), results["img"])]
        found[symmetry] += 1
        expected = moved(BITMAPS, *symmetry, axes=(1, 2))
        assert isinstance(results["gt_masks"], type(MASKS[masks]()))
        bitmaps = results["gt_masks"].to_ndarray()
        np.testing.assert_array_equal(bitmaps, expected)
        np.testing.assert_array_equal(results["gt_seg_map"], expected[0])
        tight = tight_boxes(expected)
        assert results["gt_bboxes"].tensor.tolist() == tight
        assert results["gt_masks"].areas.tolist() == areas(BITMAPS) == [24, 20, 1]
        assert results["img_shape"] == expected.shape[1:]
        through = results.get("homography_matrix", np.eye(3)) @ CORNERS
        low, high = through[:2].T.reshape(3, 2, 2).swapaxes(0, 1)
        assert np.hstack([np.minimum(low, high), np.maximum(low, high)]).tolist() == tight
    assert len(found) == 8
    assert max(abs(count - 15) for count in found.values()) < 4 * np.sqrt(120 * 7) / 8


def test_crops_of_any_shape_stay_tight_and_keep_their_bits():
    bitmaps = (np.random.default_rng(1).random((40, 31, 23)) < 0.02).astype(np.uint8)
    bitmaps[3] = 0
    bitmaps[4] = 1
    masks = CroppedBitmapMasks.from_bitmaps(bitmaps)
    turned, expected = masks.transpose(), bitmaps.swapaxes(1, 2)
    np.testing.assert_array_equal(turned.masks, expected)
    packed = CroppedBitmapMasks.from_bitmaps(expected)
    assert turned.crops.tolist() == packed.crops.tolist()
    assert turned.bits.tolist() == packed.bits.tolist()
    assert turned[2:9].transpose().masks.tolist() == bitmaps[2:9].tolist()  # a part of the bits
    np.testing.assert_array_equal(masks.masks, bitmaps)


@pytest.mark.parametrize("masks", MASKS)
def test_an_image_without_objects(masks):
    none = {"gt_masks": MASKS[masks]()[[]], "gt_bboxes": HorizontalBoxes(torch.zeros(0, 4))}
    results = RandomTranspose(prob=1)({"img": IMAGE[..., :1], **none})
    assert results["gt_masks"].to_ndarray().shape == (0, WIDTH, HEIGHT)
    assert results["gt_bboxes"].tensor.shape == (0, 4)
    assert results["img_shape"] == (WIDTH, HEIGHT)
    assert results["img"].shape == (WIDTH, HEIGHT, 1)


def test_probability_zero_changes_and_draws_nothing():
    np.random.seed(0)
    before = np.random.get_state()
    results = {"img": IMAGE}
    assert RandomTranspose(prob=0)(results) == {"img": IMAGE}
    assert (np.random.get_state()[1] == before[1]).all() and np.random.get_state()[2] == before[2]
    with pytest.raises(ValueError, match=r"RandomTranspose: prob must be .* found 2"):
        RandomTranspose(prob=2)
