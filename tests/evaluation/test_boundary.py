"""Check boundary IoU against its published definition on masks of the image's size."""

import cv2
import numpy as np
import pytest
from annotated_ellipses import encode
from faster_coco_eval import COCO
from pycocotools import mask as coco_mask

from nbseg.evaluation.boundary import BoundaryEvaluation, boundary_rles, boundary_width


def published_boundary(mask, ratio):
    """Return the mask without its erosion by d 3 x 3 kernels; outside the image is zero."""
    height, width = mask.shape
    eroded = np.pad(mask, 1)
    for _ in range(max(1, round(ratio * (height**2 + width**2) ** 0.5))):
        smaller = eroded.copy()
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                smaller &= np.roll(eroded, (dy, dx), axis=(0, 1))
        smaller[[0, -1]] = smaller[:, [0, -1]] = False
        eroded = smaller
    return mask & ~eroded[1:-1, 1:-1]


def iou(a, b):
    union = (a | b).sum()
    return (a & b).sum() / union if union else 0.0


def blank(height, width):
    return np.zeros((height, width), bool)


def rectangle(height, width, x0, y0, x1, y1):
    mask = blank(height, width)
    mask[y0:y1, x0:x1] = True
    return mask


def disc(height, width, x, y, radius):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(columns - x, rows - y) <= radius


def pairs():
    """Yield names, predicted and true masks."""
    box, round_ = rectangle(120, 160, 20, 20, 100, 80), disc(120, 160, 80, 60, 40)
    ring = round_ & ~disc(120, 160, 80, 60, 25)
    left, whole = rectangle(120, 160, 0, 0, 60, 120), ~blank(120, 160)
    tee = rectangle(120, 160, 20, 20, 120, 50) | rectangle(120, 160, 60, 20, 80, 110)
    yield "equal", box, box
    yield "one column more", rectangle(120, 160, 20, 20, 101, 80), box
    yield "one pixel to the right", np.roll(box, 1, axis=1), box
    yield "five pixels down", np.roll(box, 5, axis=0), box
    yield "far away", np.roll(box, 55, axis=1), box
    yield "apart", rectangle(120, 160, 110, 90, 150, 110), box
    yield "inside", rectangle(120, 160, 30, 30, 90, 70), box
    yield "disc and box", round_, box
    yield "smaller disc", disc(120, 160, 80, 60, 37), round_
    yield "ring and disc", ring, round_
    yield "thinner ring", ring & ~disc(120, 160, 80, 60, 28), ring
    yield "pin hole", round_ & ~rectangle(120, 160, 80, 60, 81, 61), round_
    yield "two parts", box | rectangle(120, 160, 120, 90, 150, 115), box
    yield "concave", tee, rectangle(120, 160, 20, 20, 120, 110)
    yield "line", rectangle(120, 160, 10, 60, 150, 61), rectangle(120, 160, 10, 60, 150, 63)
    yield "one pixel", rectangle(120, 160, 7, 9, 8, 10), rectangle(120, 160, 7, 9, 9, 10)
    yield "corner", rectangle(120, 160, 0, 0, 50, 40), rectangle(120, 160, 0, 0, 52, 40)
    yield (
        "last corner",
        rectangle(120, 160, 99, 70, 160, 120),
        rectangle(120, 160, 98, 71, 160, 120),
    )
    yield "of the image's height", left, rectangle(120, 160, 3, 0, 60, 120)
    yield "whole image", whole, whole
    yield "whole image but a corner", whole, whole & ~rectangle(120, 160, 150, 110, 160, 120)
    yield "nothing", blank(120, 160), box
    yield (
        "half a pixel of dilation",
        rectangle(225, 300, 20, 20, 200, 150),
        disc(225, 300, 110, 85, 80),
    )
    yield (
        "half a pixel, to even",
        rectangle(75, 100, 5, 5, 70, 60),
        rectangle(75, 100, 5, 5, 72, 60),
    )
    yield "low image", rectangle(4, 160, 10, 0, 150, 4), rectangle(4, 160, 12, 0, 150, 4)
    yield "narrow image", rectangle(200, 5, 0, 9, 5, 150), rectangle(200, 5, 1, 9, 5, 150)
    yield "large image", disc(600, 800, 400, 300, 200), disc(600, 800, 404, 300, 200)


PAIRS = {name: (predicted, true) for name, predicted, true in pairs()}


def evaluate(instances, ratio, crowd=0):
    """Run BoundaryEvaluation on (predicted, true) masks, each pair in a separate image."""
    truth = COCO()
    annotations, results, images = [], [], []
    for number, (predicted, true) in enumerate(instances, 1):
        height, width = true.shape
        images.append({"id": number, "height": height, "width": width})
        own = {"image_id": number, "category_id": 1}
        rle = encode(true)
        rle["counts"] = rle["counts"].decode()
        y, x = np.argwhere(true).min(axis=0).tolist()
        annotations.append(
            {
                **own,
                "id": number,
                "bbox": [x, y, 1, 1],
                "area": int(true.sum()),
                "iscrowd": crowd,
                "segmentation": rle,
            }
        )
        results.append({**own, "score": 0.5, "segmentation": encode(predicted)})
    truth.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}],
    }
    truth.createIndex()
    evaluation = BoundaryEvaluation(truth, truth.loadRes(results), ratio)
    evaluation.evaluate()
    return evaluation


@pytest.mark.parametrize("ratio", [0.02, 0.005])
def test_equals_the_published_definition(ratio):
    evaluation = evaluate(PAIRS.values(), ratio)
    assert len(PAIRS) >= 20
    smaller = 0
    for number, (name, (predicted, true)) in enumerate(PAIRS.items(), 1):
        boundary = iou(published_boundary(predicted, ratio), published_boundary(true, ratio))
        expected = min(boundary, iou(predicted, true))
        (((found,),)) = np.asarray(evaluation.ious[number, 1])
        assert found == pytest.approx(expected, abs=1e-9), name
        smaller += boundary < iou(predicted, true) - 0.01
    assert smaller >= 10  # mask IoU alone would not do


def test_towards_a_crowd_mask_iou_counts():
    """As published, the IoU is the part of the prediction that lies on the crowd."""
    predicted, true = PAIRS["disc and box"]
    (((found,),)) = np.asarray(evaluate([(predicted, true)], 0.02, crowd=1).ious[1, 1])
    assert found == pytest.approx((predicted & true).sum() / predicted.sum(), abs=1e-9)


@pytest.mark.parametrize(
    ("height", "width", "coco", "cityscapes"),
    [
        (1024, 2048, 46, 11),  # diagonal 2289.7
        (480, 640, 16, 4),  # 800
        (800, 1333, 31, 8),  # 1554.7
        (426, 640, 15, 4),  # 768.8
        (75, 100, 2, 1),  # 125: 2.5 to even, 0.6
        (225, 300, 8, 2),  # 375: 7.5 to even, 1.9
        (300, 400, 10, 2),  # 500: 10, 2.5 to even
        (28, 28, 1, 1),  # 39.6: 0.8, 0.2
        (3, 4, 1, 1),  # 5: 0.1
    ],
)
def test_the_dilation_is_a_rounded_part_of_the_diagonal(height, width, coco, cityscapes):
    whole = encode(~blank(height, width))
    for ratio, dilation in ((0.02, coco), (0.005, cityscapes)):
        assert boundary_width(height, width, ratio) == dilation
        (rle,) = boundary_rles([whole], height, width, ratio)
        inner = max(0, height - 2 * dilation) * max(0, width - 2 * dilation)
        assert coco_mask.area(rle) == height * width - inner


def test_boundaries_made_in_boxes_are_those_made_in_images():
    generator = np.random.default_rng(0)
    for index in range(300):
        height, width = generator.integers(1, 50, 2).tolist()
        noise = generator.random((height, width))
        if index % 3:
            noise = cv2.GaussianBlur(noise, (0, 0), 3)
        mask = noise > np.quantile(noise, generator.choice([0, 0.1, 0.5, 0.9, 1]))
        ratio = float(generator.choice([0.005, 0.02, 0.05, 0.1]))
        expected = encode(published_boundary(mask, ratio))
        assert boundary_rles([encode(mask)], height, width, ratio) == [expected]


def test_polygons_and_masks_of_another_size():
    polygon = [[10, 10, 60.5, 12, 40, 70.2]]
    rle = coco_mask.merge(coco_mask.frPyObjects(polygon, 80, 100))
    mask = coco_mask.decode(rle).astype(bool)
    expected = encode(published_boundary(mask, 0.02))
    assert boundary_rles([polygon, rle], 80, 100, 0.02) == [expected, expected]
    with pytest.raises(ValueError, match=r"size \[height, width\] = \[100, 80\]"):
        boundary_rles([rle], 100, 80, 0.02)
