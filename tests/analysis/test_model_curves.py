"""Check the curves that compare models against counts by hand and by independent means."""

import cv2
import numpy as np
import pytest
from bitmaps import HEIGHT, WIDTH, disc, rectangle

from nbseg.analysis.mask_pairs import soft_pairs
from nbseg.analysis.model_curves import ErrorByDistance, RecallByIoU, SoftMaskReliability
from nbseg.structures import CroppedMasks


def test_a_disc_one_pixel_too_large_is_wrong_in_the_first_band_outside():
    true = disc(40, 30, 15)
    predicted = cv2.dilate(true, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    curve = ErrorByDistance()
    curve.add(predicted, true)
    by_low = {point.low: point for point in curve.points()}
    # Pixels that share an edge with the disc are 0.5 away, those at its corners 0.91.
    corners = (cv2.dilate(true, np.ones((3, 3))) - predicted).sum()
    added = int(predicted.sum()) - int(true.sum())
    assert by_low[0].pixels == added + corners
    assert by_low[0].error == added / (added + corners)
    assert all(point.error == 0 for low, point in by_low.items() if low != 0)
    assert by_low[-1].pixels > 0
    assert curve.error_within(1) == added / (by_low[0].pixels + by_low[-1].pixels)


def test_signed_distances_are_those_to_the_nearest_pixel_of_the_other_side():
    generator = np.random.default_rng(1)
    true = disc(15, 12, 14) & (generator.random((HEIGHT, WIDTH)) < 0.97).astype(np.uint8)
    predicted = disc(18, 12, 13)
    curve = ErrorByDistance(farthest=6)
    curve.add(predicted, true)
    pixels, wrong = np.zeros(12, int), np.zeros(12, int)
    points = np.argwhere(np.ones((HEIGHT, WIDTH)))
    for y, x in points:
        other = points[true.ravel() != true[y, x]]
        distance = np.hypot(*(other - [y, x]).T).min() - 0.5
        place = int(np.floor(-distance if true[y, x] else distance)) + 6
        if 0 <= place < 12:
            pixels[place] += 1
            wrong[place] += predicted[y, x] != true[y, x]
    assert [p.pixels for p in curve.points()] == pixels.tolist()
    assert [p.error for p in curve.points()] == pytest.approx((wrong / pixels).tolist())


def test_an_image_without_an_outline_has_no_band():
    curve = ErrorByDistance()
    curve.add(rectangle(0, 0, 5, 5), np.ones((HEIGHT, WIDTH), np.uint8))
    curve.add(rectangle(0, 0, 5, 5), np.zeros((HEIGHT, WIDTH), np.uint8))
    assert {(p.pixels, p.error) for p in curve.points()} == {(0, None)}
    assert curve.error_within(1) is None


def test_recall_falls_where_an_iou_is_passed():
    curve = RecallByIoU()
    curve.add([0.5, 0.9], 3)
    curve.add([1.0], 1)
    recall = {point.mask_iou: point.recall for point in curve.points()}
    assert [recall[iou] for iou in (0.5, 0.51, 0.9, 0.91, 1.0)] == [0.75, 0.5, 0.5, 0.25, 0.25]
    assert RecallByIoU().points()[0].recall is None


def test_reliability_of_soft_masks_on_the_pixels_own_grid():
    """The box has 4 x 4 pixels, as the mask has cells, so resizing changes nothing."""
    true = rectangle(10, 10, 12, 14)  # the left half of the box
    soft = np.zeros((1, 4, 4), np.uint8)
    soft[0, :, 0], soft[0, :, 1], soft[0, :2, 2] = 255, 102, 102  # probabilities 1 and 0.4
    curve = SoftMaskReliability()
    boxes = np.array([[10, 10, 14, 14]], np.float32)
    curve.add(soft_pairs(soft, boxes, CroppedMasks.from_bitmaps(true[None])))
    known = {point.low: point for point in curve.bins() if point.cells}
    assert {low: (p.cells, p.foreground) for low, p in known.items()} == {
        0.0: (6, 0.0),
        0.4: (6, 4 / 6),
        0.95: (4, 1.0),
    }
    assert [p.probability for p in known.values()] == pytest.approx([0, 0.4, 1])
    foreground = curve.foreground()
    assert [foreground[level].foreground for level in (0, 1, 102, 103, 255)] == [
        1, 10 / 16, 10 / 16, 4 / 16, 4 / 16,
    ]  # fmt: skip
    assert {point.true_foreground for point in foreground} == {0.5}
