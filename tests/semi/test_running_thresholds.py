"""Running thresholds, compared with the thresholds that the label stage finds offline."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from online_detector import labeled_sample

from nbseg.pseudo.thresholds import (
    foreground_at_threshold,
    match_box_thresholds,
    match_pixel_threshold,
    soft_mask_histogram,
)
from nbseg.semi.running_thresholds import BINS, RunningThresholds


def predictions(rng, count):
    """Scores of one image; those of class 0 are higher."""
    labels = rng.integers(0, 3, count)
    scores = rng.beta(2 + 3 * (labels == 0), 4).astype(np.float32)
    return InstanceData(labels=torch.from_numpy(labels), scores=torch.from_numpy(scores))


def test_box_thresholds_equal_those_of_the_whole_set():
    rng = np.random.default_rng(0)
    batches = [[predictions(rng, 30) for _ in range(3)] for _ in range(20)]
    thresholds = RunningThresholds(3, decay=1.0)
    for batch in batches:
        thresholds.count_labeled([labeled_sample().gt_instances])  # one of class 0, one of class 2
        thresholds.count_scores(batch)
    images = [image for batch in batches for image in batch]
    scores = torch.cat([image.scores for image in images]).numpy()
    labels = torch.cat([image.labels for image in images]).numpy()
    found = thresholds.box_thresholds()
    expected = match_box_thresholds(scores, labels, 60, np.array([1.0, 0.0, 1.0]))
    assert found[1] == expected[1] == np.inf
    np.testing.assert_allclose(found[[0, 2]], expected[[0, 2]], rtol=0, atol=1.5 / BINS)
    kept = [int(((scores >= found[c]) & (labels == c)).sum()) for c in (0, 2)]
    assert kept == pytest.approx([60, 60], abs=1)


def test_the_floor_holds_if_the_teacher_finds_too_little():
    thresholds = RunningThresholds(3, floor=0.25)
    thresholds.count_labeled([labeled_sample().gt_instances])
    few = InstanceData(labels=torch.tensor([0, 0]), scores=torch.tensor([0.2, 0.9]))
    thresholds.count_scores([few, few[:0]])
    assert thresholds.box_thresholds().tolist() == [0.25, np.inf, 0.25]


def test_old_predictions_fade():
    thresholds = RunningThresholds(1, decay=0.5)
    thresholds.labeled += 1
    thresholds.labeled_images += 1
    for score in (0.875, 0.875, 0.875, 0.25, 0.25, 0.25, 0.25):
        image = InstanceData(labels=torch.zeros(2).long(), scores=torch.tensor([score, 0.15]))
        thresholds.count_scores([image])
    # 1 + 1/2 + 1/4 + 1/8 images have 0.25, and 7/64 have 0.875.
    assert float(thresholds.images) == 1 + 63 / 64
    assert float(thresholds.scores[0, 250]) == 1 + 7 / 8
    assert float(thresholds.scores[0, 875]) == 7 / 64
    assert thresholds.box_thresholds()[0] == 0.25


def test_the_pixel_threshold_equals_that_of_the_whole_set():
    rng = np.random.default_rng(1)
    thresholds = RunningThresholds(3, decay=1.0)
    assert thresholds.pixel_threshold() == 0.5  # nothing is counted
    labeled = labeled_sample().gt_instances
    labeled.bboxes[0, 2] += 24  # half of this box is foreground
    thresholds.count_labeled([labeled])
    soft_masks = rng.integers(0, 256, (6, 28, 28)).astype(np.uint8)
    boxes = np.array([[0, 0, 10, 20], [5, 5, 9, 50]] * 3, np.float32)
    for part in (slice(0, 2), slice(2, 6)):
        thresholds.count_pixels([(soft_masks[part], boxes[part])])
    foreground = foreground_at_threshold(soft_mask_histogram(soft_masks, boxes))
    fraction = (16 * 16 + 24 * 20) / (16 * 40 + 24 * 20)
    assert thresholds.pixel_threshold() == match_pixel_threshold(foreground, fraction)
    assert thresholds.pixel_threshold() == pytest.approx(1 - fraction, abs=0.02)


def test_a_checkpoint_holds_the_counts():
    first, second = RunningThresholds(2), RunningThresholds(2)
    image = InstanceData(labels=torch.tensor([0, 1]), scores=torch.tensor([0.3, 0.8]))
    first.labeled += 1
    first.labeled_images += 1
    first.count_scores([image])
    assert (second.box_thresholds() != first.box_thresholds()).all()
    second.load_state_dict(first.state_dict())
    assert (second.box_thresholds() == first.box_thresholds()).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"box_threshold": [0.5]}, "one score for each of 2 classes"),
        ({"box_threshold": 1.5}, "box_threshold must be between 0 and 1"),
        ({"pixel_threshold": -1}, "pixel_threshold must be between 0 and 1"),
        ({"floor": 30}, "floor must be between 0 and 1"),
    ],
)
def test_thresholds_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RunningThresholds(2, **settings)
