"""Check the noise of pseudo-labels against counts by hand and independent references."""

import contextlib
import io
import json
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nbseg.analysis.matching import Agreement, match_instances
from nbseg.analysis.noise_analysis import analyze_noise
from nbseg.analysis.noise_curves import (
    DISTANCE_BINS,
    MASK_SIZES,
    AccuracyByDistance,
    IoUBySize,
    inner_boundaries,
)
from nbseg.evaluation.boundary import boundary_width
from nbseg.structures import CroppedMasks

HEIGHT, WIDTH = 60, 80
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}]


def rle(bitmap):
    encoded = coco_mask.encode(np.asfortranarray(bitmap.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def index(annotations, images=1):
    """Index annotations given as (image, category, bitmap, more keys)."""
    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": i + 1, "file_name": f"{i + 1}.png", "height": HEIGHT, "width": WIDTH}
            for i in range(images)
        ],
        "categories": CATEGORIES,
        "annotations": [
            {
                "id": i,
                "image_id": image,
                "category_id": category,
                "segmentation": rle(bitmap),
                "bbox": coco_mask.toBbox(rle(bitmap)).tolist(),
                "area": int(bitmap.sum()),
                "iscrowd": 0,
                **more,
            }
            for i, (image, category, bitmap, more) in enumerate(annotations, start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def rectangle(x0, y0, x1, y1):
    bitmap = np.zeros((HEIGHT, WIDTH), np.uint8)
    bitmap[y0:y1, x0:x1] = 1
    return bitmap


def disc(x, y, radius):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (np.hypot(columns - x, rows - y) <= radius).astype(np.uint8)


def random_set(generator, images=12):
    """Make truth with crowds; predictions are near it, elsewhere, doubled or of a wrong class."""
    truth, predicted = [], []
    for image in range(1, images + 1):
        for _ in range(generator.integers(0, 6)):
            x, y = generator.integers(8, WIDTH - 8), generator.integers(8, HEIGHT - 8)
            radius, category = generator.integers(4, 14), int(generator.choice([7, 2]))
            crowd = int(generator.random() < 0.25)
            truth.append((image, category, disc(x, y, radius), {"iscrowd": crowd}))
            for _ in range(generator.integers(0, 3)):
                shift = generator.integers(-3, 4, 2)
                other = category if generator.random() < 0.9 else 9 - category
                mask = disc(x + shift[0], y + shift[1], radius)
                predicted.append((image, other, mask, {"score": float(generator.random())}))
        mask = disc(*generator.integers(5, 55, 2), 5)
        predicted.append((image, 7, mask, {"score": float(generator.random())}))
    return index(predicted, images), index(truth, images)


def test_the_best_free_instance_is_taken_by_descending_score():
    ious = np.array([[0.6, 0.7], [0.9, 0.8], [0.4, 0.75]])
    assert match_instances(ious, np.zeros(2, bool), 0.5).tolist() == [1, 0, -1]
    assert match_instances(ious, np.zeros(2, bool), 0.85).tolist() == [-1, 0, -1]
    # A crowd is taken last, by as many as there are.
    assert match_instances(ious, np.array([True, False]), 0.5).tolist() == [1, 0, -1]
    assert match_instances(ious, np.array([False, True]), 0.5).tolist() == [0, 1, 1]


def test_ratios_of_nothing_are_unknown():
    assert Agreement.of(3, 1, 2) == Agreement(3, 1, 2, 0.75, 0.6, 2 / 3)
    assert Agreement.of(0, 0, 2) == Agreement(0, 0, 2, None, 0.0, 0.0)
    assert Agreement.of(0, 0, 0) == Agreement(0, 0, 0, None, None, None)


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_cocos_evaluation(seed):
    predicted, truth = random_set(np.random.default_rng(seed))
    noise = analyze_noise(predicted, truth)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, predicted, "segm")
        evaluation.params.iouThrs = np.array([0.5, 0.75])
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.maxDets = [1000]
        evaluation.evaluate()
    for t, threshold in enumerate(("0.5", "0.75")):
        for category in CATEGORIES:
            counts = np.zeros(3, int)
            for image in evaluation.evalImgs:
                if image and image["category_id"] == category["id"]:
                    counted = ~image["dtIgnore"][t].astype(bool)
                    right = int((image["dtMatches"][t][counted] > 0).sum())
                    wanted = int((np.asarray(image["gtIgnore"]) == 0).sum())
                    counts += [right, counted.sum() - right, wanted - right]
            assert noise.classes[threshold][category["name"]] == Agreement.of(*counts)
        classes = noise.classes[threshold].values()
        assert noise.total[threshold].true_positives == sum(c.true_positives for c in classes)
    assert noise.total["0.5"].true_positives > noise.total["0.75"].true_positives > 0


def test_each_image_has_its_panoptic_quality():
    square = rectangle(10, 10, 30, 30)
    truth = index([(1, 7, square, {}), (1, 7, disc(60, 30, 8), {}), (2, 2, square, {})], images=4)
    predicted = index(
        [
            (1, 7, rectangle(10, 10, 30, 25), {"score": 0.9}),  # IoU 3/4
            (1, 2, disc(60, 30, 8), {"score": 0.8}),  # of the wrong class
            (4, 7, square, {"score": 0.7}),
        ],
        images=4,
    )
    noise = analyze_noise(predicted, truth)
    assert [(i.image_id, i.mean_iou, i.quality) for i in noise.per_image] == [
        (1, 0.75, 0.75 * 2 / 4),
        (2, None, 0.0),
        (3, None, None),
        (4, None, 0.0),
    ]
    assert noise.per_image[0].agreement == Agreement.of(1, 1, 1)
    assert (noise.images, noise.mean_iou) == (4, 0.75)
    assert json.loads(json.dumps(asdict(noise)))["per_image"][0]["quality"] == 0.375


def test_images_and_categories_of_the_truth_alone_are_left_out():
    square = rectangle(10, 10, 30, 30)
    truth = index([(1, 7, square, {}), (1, 2, square, {}), (2, 7, square, {})], images=2)
    predicted = index([(1, 7, square, {"score": 0.9})])
    del predicted.cats[2]
    noise = analyze_noise(predicted, truth)
    assert noise.images == 1
    assert list(noise.classes["0.5"]) == ["cat"]
    assert noise.total["0.5"] == Agreement.of(1, 0, 0)


def test_perfect_pseudo_labels_are_perfect_everywhere():
    _, truth = random_set(np.random.default_rng(5))
    annotations = [a for a in truth.anns.values() if not a["iscrowd"]]
    predicted = index([], images=12)
    for annotation in annotations:
        predicted.imgToAnns[annotation["image_id"]].append({**annotation, "score": 0.5})
    noise = analyze_noise(predicted, truth)
    for threshold in ("0.5", "0.75"):
        assert noise.total[threshold] == Agreement.of(len(annotations), 0, 0)
    assert noise.mean_iou == 1
    assert [(p.pairs, p.mask_iou, p.boundary_iou) for p in noise.iou_by_size] == [
        (len(annotations), 1, 1)
    ] * len(MASK_SIZES)
    assert {p.accuracy for p in noise.accuracy_by_distance if p.pixels} == {1}


def test_nothing_matched_gives_empty_curves():
    noise = analyze_noise(index([]), index([(1, 7, disc(20, 20, 5), {})]))
    assert noise.mean_iou is None
    assert all((p.pairs, p.mask_iou, p.boundary_iou) == (0, None, None) for p in noise.iou_by_size)
    assert all((p.pixels, p.accuracy) == (0, None) for p in noise.accuracy_by_distance)


def test_eroded_masks_are_wrong_at_the_boundary_and_more_so_at_high_resolution():
    truth, predicted = [], []
    for i, radius in enumerate((16, 20, 24)):
        mask = disc(40, 30, radius)
        truth.append((i + 1, 7, mask, {}))
        predicted.append((i + 1, 7, cv2.erode(mask, np.ones((5, 5))), {"score": 0.9}))
    noise = analyze_noise(index(predicted, 3), index(truth, 3))
    by_distance = {p.low: p.accuracy for p in noise.accuracy_by_distance if p.pixels}
    # Two pixels are 2 / 33 of the smallest box's side.
    assert all(accuracy < 0.7 for low, accuracy in by_distance.items() if low < 0.03)
    assert all(accuracy == 1 for low, accuracy in by_distance.items() if low > 0.07)
    assert all(p.boundary_iou < p.mask_iou for p in noise.iou_by_size)
    assert noise.iou_by_size[0].boundary_iou > noise.iou_by_size[2].boundary_iou


def test_accuracy_by_distance_of_a_half():
    """The predicted mask lacks the right half of a 20 x 20 square."""
    curve = AccuracyByDistance()
    curve.add(rectangle(10, 10, 20, 30), rectangle(10, 10, 30, 30), (10.0, 10.0, 30.0, 30.0))
    rows, columns = np.mgrid[:20, :20]
    distance = np.minimum.reduce([rows, 19 - rows, columns, 19 - columns]) + 0.5
    for point in curve.points():
        inside = (distance / 20 >= point.low) & (distance / 20 < point.high)
        assert point.pixels == inside.sum()
        assert point.accuracy == (0.5 if inside.any() else None)
    assert sum(point.pixels for point in curve.points()) == 400


def test_the_distance_is_that_to_the_nearest_pixel_of_the_other_side():
    generator = np.random.default_rng(1)
    true = disc(30, 25, 12) & (generator.random((HEIGHT, WIDTH)) < 0.97)
    predicted = disc(33, 25, 12)
    box = (18.0, 13.0, 43.0, 38.0)
    curve = AccuracyByDistance()
    curve.add(predicted, true.astype(np.uint8), box)
    pixels, agreeing = np.zeros(25, int), np.zeros(25, int)
    points = np.argwhere(np.ones((HEIGHT, WIDTH)))
    for y in range(13, 38):
        for x in range(18, 43):
            other = points[true.ravel() != true[y, x]]
            nearest = np.hypot(*(other - [y, x]).T).min() - 0.5
            place = min(np.searchsorted(DISTANCE_BINS, nearest / 25, side="right") - 1, 24)
            pixels[place] += 1
            agreeing[place] += predicted[y, x] == true[y, x]
    assert [p.pixels for p in curve.points()] == pixels.tolist()
    known = [p.accuracy for p in curve.points() if p.pixels]
    assert known == pytest.approx((agreeing[pixels > 0] / pixels[pixels > 0]).tolist())


def test_boxes_at_and_beyond_the_image_edge():
    whole = np.ones((HEIGHT, WIDTH), np.uint8)
    curve = AccuracyByDistance()
    curve.add(whole, whole, (-5.0, -5.0, WIDTH + 5.0, HEIGHT + 5.0))
    curve.add(whole, whole, (10.0, 10.0, 10.0, 20.0))
    # No contour anywhere: every pixel is as far from it as can be.
    assert [p.pixels for p in curve.points()] == [0] * 24 + [HEIGHT * WIDTH]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_inner_boundaries_is_what_is_near_the_background(width):
    """3 x 3 erosions measure the Chebyshev distance to background pixels and to the edge."""
    generator = np.random.default_rng(width)
    masks = (cv2.GaussianBlur(generator.random((28, 28, 4)), (0, 0), 2) > 0.5).astype(np.uint8)
    masks = np.ascontiguousarray(masks.transpose(2, 0, 1))
    expected = np.zeros_like(masks)
    for expected_mask, mask in zip(expected, np.pad(masks, ((0, 0), (1, 1), (1, 1))), strict=True):
        background = np.argwhere(mask == 0)
        for y, x in np.argwhere(mask):
            near = np.abs(background - [y, x]).max(axis=1).min() <= width
            expected_mask[y - 1, x - 1] = near
    assert 0 < expected.sum() < masks.sum()
    np.testing.assert_array_equal(inner_boundaries(torch.from_numpy(masks), width), expected)


def test_the_boundary_is_two_percent_of_the_diagonal_wide():
    assert [boundary_width(size, size) for size in MASK_SIZES] == [1, 1, 1, 2, 3]


def test_iou_by_size_of_masks_on_their_own_grid():
    """The boxes have s x s pixels, so resizing changes nothing and the IoU can be counted."""
    true, predicted = rectangle(10, 10, 38, 38), rectangle(10, 10, 38, 31)  # 28 x 28, 28 x 21
    curve = IoUBySize((28,))
    curve.add(
        CroppedMasks.from_bitmaps(predicted[None]),
        CroppedMasks.from_bitmaps(true[None]),
        torch.tensor([[10.0, 10.0, 38.0, 38.0]]),
    )
    (point,) = curve.points()
    assert point.pairs == 1
    assert point.mask_iou == pytest.approx(21 / 28)
    # Rings of one cell: 28 + 2 x 20 cells are shared, the rings have 108 and 94.
    assert point.boundary_iou == pytest.approx(68 / (108 + 94 - 68))
