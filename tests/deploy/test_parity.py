"""Check exported models against MMDetection's predictions, and the matching of both."""

from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from small_detectors import GRAY, pictures, predict

from nbseg.deploy.checkpoint_segmenter import as_detections
from nbseg.deploy.detections import Detections
from nbseg.deploy.parity import REDUCED_PRECISION, Parity, parity
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
    number = 2 * len(expected.scores)
    assert parity(as_detections(expected), found, min_score=0.0) == Parity(number, number)


def rectangle(x0, y0, x1, y1):
    bitmap = np.zeros((200, 200), np.uint8, order="F")
    bitmap[y0:y1, x0:x1] = 1
    return coco_mask.encode(bitmap)


# Two large objects of one class, a small one of another, and one with a score below 0.05.
BOXES = [(10, 10, 110, 110), (80, 90, 190, 190), (5, 150, 15, 160), (120, 5, 190, 60)]
THREE = Detections(
    boxes=np.array(BOXES, np.float32),
    scores=np.array([0.9, 0.8, 0.7, 0.04], np.float32),
    labels=np.array([0, 0, 1, 0]),
    rles=[rectangle(*box) for box in BOXES],
)


def moved(values, index, by):
    values = values.copy()
    values[index] += by
    return values


@pytest.mark.parametrize(
    ("change", "matched"),
    [
        ({}, 6),
        ({"scores": moved(THREE.scores, 0, 9e-4)}, 6),
        ({"scores": moved(THREE.scores, 0, 2e-3)}, 4),
        ({"labels": moved(THREE.labels, 2, 1)}, 4),
        # One side of 100 longer by 0.9: IoU 100 / 100.9 = 0.991; by 1.1: 0.989.
        ({"boxes": moved(THREE.boxes, (0, 2), 0.9)}, 6),
        ({"boxes": moved(THREE.boxes, (0, 2), 1.1)}, 4),
        # Masks: 100 x 99 of 100 x 100 pixels is 0.99, 100 x 97 is 0.97; the small one is not asked.
        ({"rles": [rectangle(10, 10, 110, 109), *THREE.rles[1:]]}, 6),
        ({"rles": [rectangle(10, 10, 110, 107), *THREE.rles[1:]]}, 4),
        ({"rles": [*THREE.rles[:2], rectangle(5, 150, 6, 151), THREE.rles[3]]}, 6),
    ],
)
def test_what_counts_as_the_same(change, matched):
    other = replace(THREE, **change)
    assert parity(THREE, other) == Parity(matched, 6)
    assert parity(other, THREE) == Parity(matched, 6)


def test_reduced_precision_may_differ_more():
    other = replace(
        THREE,
        scores=moved(THREE.scores, 0, 0.09),
        boxes=moved(THREE.boxes, (1, 2), 10),
        rles=[rectangle(10, 10, 110, 95), *THREE.rles[1:]],
    )
    assert parity(THREE, other) == Parity(2, 6)
    assert parity(THREE, other, tolerance=REDUCED_PRECISION) == Parity(6, 6)


def test_a_detection_matches_one_other():
    """Of two equal detections only one matches."""
    twice = Detections(
        *(np.repeat(v, 2, 0) for v in (THREE.boxes, THREE.scores, THREE.labels)),
        [rle for rle in THREE.rles for _ in range(2)],
    )
    assert parity(THREE, twice) == Parity(6, 9)
    nothing = Detections(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int), []
    )
    assert parity(THREE, nothing) == Parity(0, 3)
    assert parity(nothing, nothing) == Parity(0, 0)


def test_images_of_five_sizes(model, segmenter):
    images = pictures(*SIZES)
    expected = predict(model.detector, model.config, images)
    assert sum(len(instances.scores) for instances in expected) > 20
    for image, instances in zip(images, expected, strict=True):
        assert_same(instances, segmenter(image))


def test_a_batch(model, segmenter):
    """Three images of one size and one of another are predicted as if each were alone."""
    images = pictures((150, 201), (150, 201), (80, 80), (150, 201))
    expected = predict(model.detector, model.config, images)
    found = segmenter.predict(images)
    assert len(found) == 4
    for instances, detections in zip(expected, found, strict=True):
        assert_same(instances, detections)


def test_an_image_without_detections(mask_rcnn):
    segmenter = Segmenter(mask_rcnn.onnx, providers=["CPUExecutionProvider"], threads=1)
    busy = pictures((120, 150))[0]
    nothing, something = predict(mask_rcnn.detector, mask_rcnn.config, [GRAY, busy])
    assert len(nothing.scores) == 0
    assert len(something.scores)
    detections = segmenter(GRAY)
    assert detections.boxes.shape == (0, 4)
    assert detections.scores.shape == detections.labels.shape == (0,)
    assert detections.rles == []
    assert_same(something, segmenter.predict([GRAY, busy])[1])


def test_more_objects_than_the_maximum(model, segmenter):
    """The best detections are kept if there are more candidates than may be returned."""
    images = pictures((112, 160), (128, 128), (150, 201))
    counts = [len(instances.scores) for instances in predict(model.detector, model.config, images)]
    assert max(counts) == model.info.max_detections
    assert [len(detections.scores) for detections in segmenter.predict(images)] == counts
