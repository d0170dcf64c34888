"""Exported models against MMDetection's own predictions."""

import pytest
from parity import count_matches
from small_detectors import GREY, pictures, predict

from nbseg.deploy.runtime import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")

# Wide, high, square, no multiple of the padding, larger and much smaller than the network's size.
SIZES = [(112, 160), (201, 90), (128, 128), (333, 517), (9, 70)]


@pytest.fixture(params=["mask_rcnn", "cascade"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def segmenter(model):
    return Segmenter(model.onnx, providers=["CPUExecutionProvider"], threads=1)


def assert_same(expected, found):
    matched, total = count_matches(expected, found, min_score=0.0)
    assert total == 2 * len(expected.scores)
    assert matched == total


def test_images_of_five_sizes(model, segmenter):
    images = pictures(*SIZES)
    expected = predict(model.detector, model.config, images)
    assert sum(len(instances.scores) for instances in expected) > 20
    for image, instances in zip(images, expected, strict=True):
        assert_same(instances, segmenter(image))


def test_a_batch(model, segmenter):
    """Three images of one size in one run, and one of another: each as if alone."""
    images = pictures((150, 201), (150, 201), (80, 80), (150, 201))
    expected = predict(model.detector, model.config, images)
    found = segmenter.predict(images)
    assert len(found) == 4
    for instances, detections in zip(expected, found, strict=True):
        assert_same(instances, detections)


def test_an_image_without_detections(mask_rcnn):
    segmenter = Segmenter(mask_rcnn.onnx, providers=["CPUExecutionProvider"], threads=1)
    busy = pictures((120, 150))[0]
    nothing, something = predict(mask_rcnn.detector, mask_rcnn.config, [GREY, busy])
    assert len(nothing.scores) == 0
    assert len(something.scores)
    detections = segmenter(GREY)
    assert detections.boxes.shape == (0, 4)
    assert detections.scores.shape == detections.labels.shape == (0,)
    assert detections.rles == []
    assert_same(something, segmenter.predict([GREY, busy])[1])


def test_more_objects_than_the_maximum(model, segmenter):
    """The best are kept; the test images have more candidates than may be returned."""
    images = pictures((112, 160), (128, 128), (150, 201))
    counts = [len(instances.scores) for instances in predict(model.detector, model.config, images)]
    assert max(counts) == model.info.max_detections
    assert [len(detections.scores) for detections in segmenter.predict(images)] == counts
