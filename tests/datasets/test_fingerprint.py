"""Measurements of labeled images, and the settings that follow from them."""

import numpy as np
import pytest
from own_images import indexed

from nbseg.datasets.anchors import coverage, fit_anchor_scales
from nbseg.datasets.fingerprint import choose_settings, crop_hits, measure


def test_the_measurements():
    truth = indexed([(100, 80), (200, 60), (50, 50)], [[(10, 3)], [(20, 3), (5, 7), (9, 7)], []])
    truth.dataset["annotations"][3]["iscrowd"] = 1
    found = measure(truth)
    assert found.objects == {"cat": 1, "dog": 2} and list(found.objects) == ["cat", "dog"]
    assert found.left_out == {"crowds (iscrowd 1)": 1}
    assert found.image_sizes.tolist() == [[100, 80], [200, 60], [50, 50]]
    assert found.counts.tolist() == [1, 2, 0]
    assert found.object_sizes.tolist() == [10, 20, 5]
    assert found.image_of.tolist() == [0, 1, 1]


def test_a_set_without_objects_is_refused():
    with pytest.raises(ValueError, match="of the 1 labeled images .* there are no annotations"):
        measure(indexed([(9, 9)], [[]]))
    truth = indexed([(9, 9)], [[(5, 3)]])
    truth.dataset["annotations"][0]["segmentation"] = []
    with pytest.raises(ValueError, match="1 annotations are without a mask"):
        measure(truth)


@pytest.mark.parametrize(
    ("sides", "image", "crops", "factor", "size", "batch_size"),
    [
        ([32], 400, True, 1.0, 32, 4),
        ([8], 400, True, 2.0, 16, 4),  # enlarged until the median is 16
        ([100], 400, True, 0.64, 64, 4),  # reduced until the median is 64
        ([3], 400, True, 4.0, 12, 4),  # no more than four times
        ([8] * 8 + [100] * 2, 400, True, 1.28, 10, 4),  # the large ones become half a crop
        ([128], 400, False, 384, 123, 4),  # half a crop; 128 * 384 / 400
        ([150], 4000, False, 512, 19, 2),  # 150 * 384 / 4000 is 14.4, less than 16
    ],
)
def test_small_objects_are_trained_on_crops(sides, image, crops, factor, size, batch_size):
    found = measure(indexed([(image, 300)], [[(side, 3) for side in sides]]))
    chosen = choose_settings(found, images=1, cores=2)
    assert chosen.crops == crops
    assert (chosen.image_scale if crops else chosen.image_size) == factor
    assert (chosen.object_size, chosen.batch_size) == (size, batch_size)


@pytest.mark.parametrize(
    ("side", "drawn"),
    [(32, (16, 22.4, 32, 44.8, 64)), (200, (144, 192, 240))],  # 200 * 384 / 400 is 192
)
def test_anchors_fit_the_sizes_that_a_training_draws(side, drawn):
    chosen = choose_settings(measure(indexed([(400, 300)], [[(side, 3)]])), images=1, cores=2)
    boxes = np.array([(0, 0, size, size) for size in drawn])
    assert chosen.default_coverage == pytest.approx(coverage(boxes, (4, 8)))
    assert chosen.anchor_scales == fit_anchor_scales(boxes)
    assert chosen.anchor_coverage == pytest.approx(coverage(boxes, chosen.anchor_scales))


@pytest.mark.parametrize(("count", "most"), [(1, 50), (25, 50), (26, 100), (131, 300), (300, 500)])
def test_twice_as_many_detections_as_objects(count, most):
    found = measure(indexed([(400, 300), (400, 300)], [[(32, 3)] * count, [(32, 7)]]))
    assert choose_settings(found, images=2, cores=2).max_per_img == most


def test_the_share_of_crops_with_an_object():
    # A crop of 256 x 256 starts at x from 0 to 100, and at y from 0 to 200.
    boxes = np.array([(300.0, 100, 20, 20)])
    assert crop_hits(356, 456, boxes) == pytest.approx(56 / 100 * 120 / 200)
    # The second object is also in the crops that start at y above 150.
    boxes = np.array([(300.0, 100, 20, 20), (0, 406, 356, 50)])
    assert crop_hits(356, 456, boxes) == pytest.approx(56 / 100 * 120 / 200 + 50 / 200)
    assert crop_hits(200, 90, boxes[:1] / 4) == 1


def test_few_crops_of_a_large_image_contain_its_only_object():
    found = measure(indexed([(2500, 2500), (300, 300)], [[(20, 3)], []]))
    found.boxes[0, :2] = 1240
    # At the scale f, 256 + 20 f of the 2500 f - 256 positions along a side contain the object. The
    # image without an object is not trained on.
    scales = np.array([0.5, 0.7, 1, 1.4, 2])
    share = np.mean(((256 + 20 * scales) / (2500 * scales - 256)) ** 2)
    assert 1 / share == pytest.approx(38, abs=1)
    assert choose_settings(found, 1, 2).crop_hits == pytest.approx(share, rel=0.1)
    assert choose_settings(measure(indexed([(400, 300)], [[(200, 3)]])), 1, 2).crop_hits == 1


@pytest.mark.parametrize(
    ("images", "cores", "teacher", "student", "threshold", "workers"),
    [
        (9, 1, 750, 375, 0.3, 0),
        (19, 2, 750, 375, 0.3, 1),
        (20, 4, 750, 375, "match", 3),
        (501, 64, 1503, 752, "match", 4),
    ],
)
def test_the_training_fits_the_images_and_the_machine(
    images, cores, teacher, student, threshold, workers
):
    chosen = choose_settings(measure(indexed([(400, 300)], [[(32, 3)]])), images, cores)
    assert chosen.teacher_iterations == teacher
    assert chosen.student_iterations == student
    assert chosen.box_threshold == threshold and chosen.num_workers == workers
