"""Thresholds by hand, by brute force and by property."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from nbseg.pseudo.thresholds import (
    fixed_box_thresholds,
    foreground_at_threshold,
    foreground_fraction,
    instances_per_image,
    match_box_thresholds,
    match_pixel_threshold,
    soft_mask_histogram,
)


def coco(images, annotations, categories=(1, 2)):
    truth = COCO()
    truth.dataset = {
        "images": images,
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, start=1)],
        "categories": [{"id": c, "name": f"class {c}"} for c in categories],
    }
    truth.createIndex()
    return truth


def image(image_id, height=20, width=30):
    return {"id": image_id, "height": height, "width": width}


def test_instances_per_image_leave_crowds_out_and_count_empty_images():
    mask = {"bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5]]}
    truth = coco(
        [image(1), image(2), image(3), image(4)],
        [
            {"image_id": 1, "category_id": 7, **mask},
            {"image_id": 1, "category_id": 7, "iscrowd": 0, **mask},
            {"image_id": 2, "category_id": 7, "iscrowd": 1, **mask},
            {"image_id": 2, "category_id": 3, **mask},
            {"image_id": 2, "category_id": 3, **mask, "ignore": 1},
            {"image_id": 2, "category_id": 3, "bbox": [1, 1, 4, 4]},
            {"image_id": 3, "category_id": 5, **mask},  # no category that counts
        ],
        categories=(3, 5, 7, 9),
    )
    assert instances_per_image(truth, [7, 3, 9]).tolist() == [0.5, 0.25, 0]


def test_foreground_fraction_equals_the_decoded_masks():
    rng = np.random.default_rng(0)
    bitmap = np.zeros((20, 30), np.uint8)
    bitmap[4:12, 5:20] = rng.random((8, 15)) < 0.4
    whole = np.ones((20, 30), np.uint8)
    rle = coco_mask.encode(np.asfortranarray(bitmap))
    uncompressed = {"size": [20, 30], "counts": [0, 600]}
    truth = coco(
        [image(1), image(2)],
        [
            {"image_id": 1, "category_id": 1, "bbox": [5, 4, 15, 8], "segmentation": rle},
            # A square of 10 x 10 pixels; half of its box, and of it, lies left of the image.
            {
                "image_id": 2,
                "category_id": 2,
                "bbox": [-5, 0, 10, 10],
                "segmentation": [[-5, 0, 5, 0, 5, 10, -5, 10]],
            },
            # Of another, a quarter remains in the lower right corner.
            {
                "image_id": 1,
                "category_id": 2,
                "bbox": [26, 17, 8, 6],
                "segmentation": [[26, 17, 34, 17, 34, 23, 26, 23]],
            },
            # A crowd, and a category that does not count.
            {
                "image_id": 2,
                "category_id": 1,
                "iscrowd": 1,
                "bbox": [0, 0, 30, 20],
                "segmentation": uncompressed,
            },
            {"image_id": 2, "category_id": 1, "bbox": [0, 0, 30, 20], "segmentation": []},
            {
                "image_id": 2,
                "category_id": 9,
                "bbox": [0, 0, 30, 20],
                "segmentation": coco_mask.encode(np.asfortranarray(whole)),
            },
        ],
        categories=(1, 2, 9),
    )
    expected = (bitmap.sum() + 50 + 12) / (15 * 8 + 50 + 12)
    assert foreground_fraction(truth, [1, 2]) == pytest.approx(expected, abs=1e-12)


def test_foreground_fraction_needs_a_box():
    truth = coco([image(1)], [])
    with pytest.raises(ValueError, match="no labeled box has an area above 0.*pixel_threshold"):
        foreground_fraction(truth, [1, 2])


def test_fixed_box_thresholds():
    assert fixed_box_thresholds("match", ["cat", "dog"]) is None
    assert fixed_box_thresholds(0.5, ["cat", "dog"]).tolist() == [0.5, 0.5]
    assert fixed_box_thresholds({"dog": 0.6, "cat": 1}, ["cat", "dog"]).tolist() == [1, 0.6]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "mtach",
            'must be "match", "match_total", one score for all classes, or a dict with one score '
            "per class name; found 'mtach'",
        ),
        (None, "found None"),
        ({"cat": 0.5}, r"of the classes \['cat', 'dog'\], but it has no score for \['dog'\]$"),
        ({"cat": 0.5, "dog": 0.5, "cow": 0.5}, r"it has scores for the unknown classes \['cow'\]$"),
        ({"cat": 0.5, "dog": "match"}, "found 'match' for the class 'dog'"),
    ],
)
def test_other_box_thresholds_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        fixed_box_thresholds(given, ["cat", "dog"])


def test_box_thresholds_by_hand():
    scores = np.array([0.9, 0.8, 0.8, 0.8, 0.3, 0.05, 0.7, 0.6, 0.95], np.float32)
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2])
    # On two images: class 0 wants 2 (a tie of three keeps 4), class 1 wants 1 of 2, class 2 is
    # absent from the labeled set, class 3 wants 2 of none.
    per_image = np.array([1.0, 0.5, 0.0, 1.0])
    thresholds = match_box_thresholds(scores, labels, 2, per_image, floor=0.1)
    assert thresholds.dtype == np.float64
    np.testing.assert_array_equal(thresholds, [np.float32(0.8), np.float32(0.7), np.inf, 0.1])
    # Class 0 wants 6 and has 5 above the floor, class 1 wants 4.
    thresholds = match_box_thresholds(scores, labels, 2, np.array([3.0, 2.0, 0.0, 0.0]), floor=0.1)
    np.testing.assert_array_equal(thresholds, [0.1, 0.1, np.inf, np.inf])
    # The floor comes before the rank.
    thresholds = match_box_thresholds(scores, labels, 2, np.array([3.0, 1.0, 0.0, 0.0]), floor=0.65)
    np.testing.assert_array_equal(thresholds, [0.65, 0.65, np.inf, np.inf])


@pytest.mark.parametrize(("mean", "wanted"), [(0.1, 0), (0.124, 0), (0.125, 1), (0.4, 2)])
def test_wanted_counts_round_to_the_nearest(mean, wanted):
    scores = np.linspace(0.9, 0.5, 5)
    (threshold,) = match_box_thresholds(scores, np.zeros(5, int), 4, np.array([mean]))
    assert (scores >= threshold).sum() == wanted


def test_nothing_to_threshold():
    none = np.zeros(0, np.float32), np.zeros(0, np.int64)
    assert match_box_thresholds(*none, 0, np.array([2.0, 0.0])).tolist() == [np.inf, np.inf]
    assert match_box_thresholds(*none, 3, np.array([2.0, 0.0])).tolist() == [0.1, np.inf]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_as_many_are_kept_as_are_wanted_within_ties_and_the_floor(data):
    classes = data.draw(st.integers(1, 4))
    count = data.draw(st.integers(0, 40))
    score = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.1, 0.3, 0.7, 0.9]))
    scores = np.array(data.draw(st.lists(score, min_size=count, max_size=count)), np.float32)
    labels = np.array(
        data.draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)), np.int64
    )
    num_images = data.draw(st.integers(0, 12))
    labeled = data.draw(st.lists(st.floats(0, 5), min_size=classes, max_size=classes))
    per_image = np.array(labeled)
    floor = data.draw(st.sampled_from([0.0, 0.1, 0.3, 0.7]))
    thresholds = match_box_thresholds(scores, labels, num_images, per_image, floor)
    keep = scores >= thresholds[labels]
    for label in range(classes):
        of_class = labels == label
        wanted = int(per_image[label] * num_images + 0.5)
        reach_floor = int((scores.astype(np.float64)[of_class] >= floor).sum())
        kept = scores[keep & of_class]
        rejected = scores[~keep & of_class]
        if wanted == 0:
            assert len(kept) == 0
            continue
        assert len(kept) >= min(wanted, reach_floor)
        assert len(kept) <= reach_floor
        if len(kept) > wanted:
            assert (kept > kept.min()).sum() < wanted  # more only by the last one's ties
        if len(kept) and len(rejected):
            assert kept.min() > rejected.max()


def test_the_histogram_weighs_cells_by_the_area_of_their_box():
    soft_masks = np.array([[[0, 255], [7, 7]], [[7, 0], [0, 0]]], np.uint8)
    boxes = np.array([[0, 0, 4, 2], [10, 10, 13, 14.0]], np.float32)
    histogram = soft_mask_histogram(soft_masks, boxes)
    assert histogram.shape == (256,)
    assert histogram[[0, 7, 255]].tolist() == [2 + 3 * 3, 4 + 3, 2]
    assert histogram.sum() == 8 + 12
    assert soft_mask_histogram(soft_masks[:0], boxes[:0]).tolist() == [0] * 256


def test_boxes_without_an_area_weigh_nothing():
    soft_masks = np.full((2, 3, 3), 9, np.uint8)
    boxes = np.array([[5, 5, 5, 9], [9, 5, 5, 9]], np.float32)
    assert soft_mask_histogram(soft_masks, boxes).sum() == 0


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), fraction=st.floats(0, 1))
def test_the_pixel_threshold_is_the_nearest_of_all(seed, fraction):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 256, rng.integers(1, 40))
    soft_masks = rng.choice(levels, (3, 5, 5)).astype(np.uint8)
    corner = rng.uniform(0, 20, (3, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 20, (3, 2))], 1).astype(np.float32)
    foreground = foreground_at_threshold(soft_mask_histogram(soft_masks, boxes))
    threshold = match_pixel_threshold(foreground, fraction)

    value = threshold * 255
    assert abs(value - round(value)) < 1e-9 and 1 <= round(value) <= 255
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    share = areas.astype(np.float64) / areas.sum(dtype=np.float64)

    def error(level):
        foreground = (soft_masks >= level).mean(axis=(1, 2))
        return abs((foreground * share).sum() - fraction)

    assert error(round(value)) <= min(error(level) for level in range(1, 256)) + 1e-6


def test_the_pixel_threshold_by_hand():
    histogram = np.zeros(256)
    histogram[[0, 100, 200]] = [50, 30, 20]
    foreground = foreground_at_threshold(histogram)
    assert foreground.tolist() == [1.0] + 100 * [0.5] + 100 * [0.2] + 55 * [0.0]
    assert match_pixel_threshold(foreground, 0.2) == 101 / 255
    assert match_pixel_threshold(foreground, 0.0) == 201 / 255
    assert match_pixel_threshold(foreground, 0.45) == 1 / 255
    assert match_pixel_threshold(foreground, 1.0) == 1 / 255


def test_the_pixel_threshold_needs_pixels():
    with pytest.raises(ValueError, match="all boxes of the pseudo-labels have an area of 0"):
        foreground_at_threshold(np.zeros(256))
