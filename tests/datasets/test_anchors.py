"""Anchor scales for the objects of a data set."""

import numpy as np
import pytest
import torch
from mmdet.models.task_modules import AnchorGenerator
from mmdet.structures.bbox import bbox_overlaps

from nbseg.datasets.anchors import RATIOS, STRIDES, best_ious, coverage, fit_anchor_scales


def squares(*sides, center=64):
    return np.array([(center - side / 2, center - side / 2, side, side) for side in sides])


def test_ious_by_hand():
    # The anchors of scale 4 have sides of 16, 32, 64 and 128 pixels; those of scale 8 begin at 32.
    assert best_ious(squares(32, 24), (4, 8)) == pytest.approx(
        np.array([[1, 1], [24**2 / 32**2, 24**2 / 32**2]])
    )
    # The center lies two pixels beside those of the nearest anchors.
    beside = np.array([[66 - 8, 64 - 8, 16, 16]])
    assert best_ious(beside, (4,)) == pytest.approx(14 * 16 / (2 * 16 * 16 - 14 * 16))
    upright = np.array([[64 - 16 / 2**0.5, 64 - 16 * 2**0.5, 32 / 2**0.5, 32 * 2**0.5]])
    assert best_ious(upright, (8,)) == pytest.approx(1)


def test_ious_are_those_of_mmdetections_anchors():
    rng = np.random.default_rng(0)
    boxes = np.concatenate([rng.uniform(60, 190, (50, 2)), rng.uniform(4, 60, (50, 2))], axis=1)
    corners = torch.tensor(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))
    for column, scale in enumerate((2.8, 8)):
        generator = AnchorGenerator(strides=STRIDES, ratios=RATIOS, scales=[scale])
        anchors = generator.grid_priors(
            [(256 // stride,) * 2 for stride in STRIDES], dtype=torch.float64, device="cpu"
        )
        expected = bbox_overlaps(corners, torch.cat(anchors)).amax(dim=1)
        assert best_ious(boxes, (2.8, 8))[:, column] == pytest.approx(expected.numpy(), abs=1e-6)


def test_coverage_is_the_mean_and_the_share_of_at_least_a_half():
    mean, half = coverage(squares(32, 24, 8), (4, 8))
    assert mean == pytest.approx((1 + 0.5625 + 0.25) / 3)
    assert half == pytest.approx(2 / 3)


def test_the_scales_fit_the_objects():
    # 22.8 is 4 * 5.7, and 64 is 32 * 2.
    assert fit_anchor_scales(squares(22.8, 64)) == [2, 5.7]
    # 4 is 4 * 1, and the anchors of the other two scales are at least twice as large.
    assert fit_anchor_scales(squares(4, 22.8, 64)) == [1, 2, 5.7]
    # 45.2 is 4 * 11.3, but 8 * 5.7 is nearly as much, so a third scale is not worthwhile.
    assert fit_anchor_scales(squares(22.8, 45.2, 64)) == [2, 5.7]
