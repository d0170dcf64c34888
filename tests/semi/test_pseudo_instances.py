"""Masks of pseudo-labels move like boxes, compared with full bitmaps that MMDetection moves."""

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from online_detector import sample
from pycocotools import mask as coco_mask

from nbseg.ops import paste_rle
from nbseg.semi.pseudo_instances import Motion, move_boxes, move_instances

HEIGHT, WIDTH, THRESHOLD = 60, 80, 0.45
FLIPS = {
    "horizontal": [[-1, 0, WIDTH], [0, 1, 0], [0, 0, 1]],
    "vertical": [[1, 0, 0], [0, -1, HEIGHT], [0, 0, 1]],
    "diagonal": [[-1, 0, WIDTH], [0, -1, HEIGHT], [0, 0, 1]],
}


@pytest.fixture(scope="module")
def predicted():
    """Five predictions with smooth soft masks; some boxes reach the border of the view."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:28j, -1:1:28j]
    soft = []
    for a, b, c in rng.uniform(-0.4, 0.4, (5, 3)):
        soft.append(1 / (1 + np.exp(8 * ((rows - a) ** 2 + (columns - b) ** 2 + c - 0.6))))
    corners = np.array([[0, 3], [11, 7], [40, 0], [33, 21], [55.5, 30.25]])
    boxes = np.hstack([corners, corners + [[20.5, 17], [30, 41], [40, 12], [9, 15], [24, 29]]])
    instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32),
        labels=torch.arange(5),
        scores=torch.linspace(0.9, 0.5, 5),
        soft_masks=torch.from_numpy((np.array(soft) * 255).round().astype(np.uint8)),
    )
    return instances


@pytest.fixture(scope="module")
def bitmaps(predicted):
    boxes, soft_masks = predicted.bboxes.numpy(), predicted.soft_masks.numpy()
    rles = paste_rle(soft_masks, boxes, HEIGHT, WIDTH, THRESHOLD)
    return BitmapMasks(np.stack([coco_mask.decode(rle) for rle in rles]), HEIGHT, WIDTH)


def moved(predicted, matrix, shape):
    motion = Motion.between(sample(), sample(matrix))
    return move_instances(predicted, motion, shape, THRESHOLD)


@pytest.mark.parametrize("direction", FLIPS)
def test_flips_equal_those_of_bitmaps(predicted, bitmaps, direction):
    found = moved(predicted, FLIPS[direction], (HEIGHT, WIDTH))
    assert (found.masks.to_bitmaps() == bitmaps.flip(direction).masks).all()
    assert found.labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (17, 9), (45, 30)])
def test_crops_equal_those_of_bitmaps(predicted, bitmaps, x, y):
    found = moved(predicted, [[1, 0, -x], [0, 1, -y], [0, 0, 1]], (30, 35))
    expected = bitmaps.crop(np.array([x, y, x + 35, y + 30])).masks
    seen = expected.any(axis=(1, 2))
    assert found.labels.tolist() == np.flatnonzero(seen).tolist()
    assert (found.masks.to_bitmaps() == expected[seen]).all()


def test_a_flip_and_a_crop_in_one_of_both_views(predicted, bitmaps):
    """The teacher's view is flipped, the student's is a crop of the upright image."""
    x, y = 12, 5
    crop = [[1, 0, -x], [0, 1, -y], [0, 0, 1]]
    motion = Motion.between(sample(FLIPS["horizontal"]), sample(crop))
    found = move_instances(predicted, motion, (40, 50), THRESHOLD)
    upright = bitmaps.flip("horizontal").crop(np.array([x, y, x + 50, y + 40])).masks
    seen = upright.any(axis=(1, 2))
    assert (found.masks.to_bitmaps() == upright[seen]).all()


def test_resized_masks_agree_with_bitmaps_up_to_their_outline(predicted, bitmaps):
    scale = np.diag([1.5, 2, 1])
    shape = (2 * HEIGHT, WIDTH * 3 // 2)
    found = moved(predicted, scale, shape).masks.to_bitmaps()
    expected = bitmaps.resize(shape).masks
    overlap = (found & expected).sum(axis=(1, 2)) / (found | expected).sum(axis=(1, 2))
    assert found.shape == expected.shape and (overlap > 0.9).all()
    # Half a pixel of the teacher's view is one of the student's.
    centers = [[np.argwhere(mask).mean(axis=0) for mask in masks] for masks in (found, expected)]
    assert np.abs(np.subtract(*centers)).max() < 1


def test_masks_lie_in_their_boxes(predicted):
    matrix = [[-0.8, 0, 70], [0, 1.3, -11], [0, 0, 1]]
    found = moved(predicted, matrix, (66, 61))
    corners = predicted.bboxes.numpy().reshape(-1, 2, 2) * [-0.8, 1.3] + [70, -11]
    boxes = np.hstack([corners.min(axis=1), corners.max(axis=1)]).clip(0, [61, 66, 61, 66])
    np.testing.assert_allclose(found.bboxes, boxes[found.labels], atol=1e-4)
    tight = found.masks.get_bboxes().tensor
    assert (tight[:, :2] >= found.bboxes[:, :2] - 1).all()
    assert (tight[:, 2:] <= found.bboxes[:, 2:] + 1).all()


def test_what_is_not_in_the_view_is_left_out(predicted):
    motion = Motion.between(sample(), sample([[1, 0, -20.0], [0, 1, 0], [0, 0, 1]]))
    found = move_instances(predicted, motion, (HEIGHT, 25), THRESHOLD, min_size=2)
    # The first ends at 20.5, the last begins at 55.5, and the third has no pixel left of 45.
    assert found.labels.tolist() == [1, 3]
    assert len(move_boxes(predicted.bboxes, motion, (HEIGHT, 25), min_size=2)) == 3


@pytest.mark.parametrize(
    "matrix",
    [
        [[0, -1, WIDTH], [1, 0, 0], [0, 0, 1]],
        [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1, 0], [0.001, 0, 1]],
    ],
)
def test_rotated_views_are_refused(matrix):
    with pytest.raises(ValueError, match="rotated, sheared or warped .* before MultiBranch"):
        Motion.between(sample(), sample(matrix))
    assert Motion.between(sample(matrix), sample(matrix)) == pytest.approx((1, 1, 0, 0), abs=1e-12)
