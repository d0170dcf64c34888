"""Check the analysis of several models: measurements, figures, tables and refusals."""

import csv
import json

import cv2
import numpy as np
import pytest
from bitmaps import HEIGHT, WIDTH, disc, rectangle
from pycocotools import mask as coco_mask

from nbseg.analysis.model_noise import analyze_models
from nbseg.analysis.noise_figures import (
    accuracy_figure,
    distance_figure,
    error_figure,
    map_figure,
    recall_figure,
    reliability_figure,
    size_figure,
    write_figures,
)
from nbseg.pseudo.predictions import ImagePredictions, PredictionWriter

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}]
IMAGES = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (4, 1, 9)]


def annotation(image, bitmap, category=7, **more):
    rle = coco_mask.encode(np.asfortranarray(bitmap))
    return {
        "image_id": image,
        "category_id": category,
        "bbox": coco_mask.toBbox(rle).tolist(),
        "segmentation": {**rle, "counts": rle["counts"].decode()},
        **more,
    }


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def truth(tmp_path):
    """Write the truth: three objects on two of three images."""
    bitmaps = [(4, rectangle(10, 10, 30, 30)), (4, disc(60, 30, 12)), (1, disc(30, 30, 15))]
    annotations = [
        annotation(image, bitmap, id=i, area=int(bitmap.sum()), iscrowd=0)
        for i, (image, bitmap) in enumerate(bitmaps, start=1)
    ]
    content = {"images": IMAGES, "annotations": annotations, "categories": CATEGORIES}
    return write_json(tmp_path / "truth.json", content)


@pytest.fixture
def predictions(tmp_path):
    """Write two models' predictions: one lacks the square's upper quarter, one the square."""
    good = [
        annotation(4, rectangle(10, 15, 30, 30), score=0.9),  # IoU 3/4
        annotation(4, disc(60, 30, 12), score=0.8),
        annotation(1, disc(30, 30, 15), score=0.2),
    ]
    poor = [
        annotation(4, rectangle(10, 10, 30, 30), category=2, score=0.9),
        annotation(4, cv2.dilate(disc(60, 30, 12), np.ones((3, 3))), score=0.8),
        annotation(1, disc(30, 30, 14), score=0.6),
    ]
    return {
        "good": write_json(tmp_path / "good.json", good),
        "poor": write_json(tmp_path / "poor.json", poor),
    }


def test_models_are_measured_on_what_they_find(truth, predictions):
    curves = analyze_models(predictions, truth)
    assert [sorted(own.ious) for own in curves.values()] == [
        pytest.approx([0.75, 1, 1]),
        pytest.approx(sorted(disc_ious())),
    ]
    assert [own.recall_by_iou.points()[0].instances for own in curves.values()] == [3, 3]
    common = analyze_models(predictions, truth, common=True)
    assert [own.recall_by_iou.points()[0].instances for own in common.values()] == [2, 2]
    assert common["good"].ious == [1, 1]
    certain = analyze_models(predictions, truth, min_score=0.5)
    assert certain["good"].ious == pytest.approx([0.75, 1])


def disc_ious():
    """Yield the IoUs of the poor model's discs, counted without pycocotools."""
    true, predicted = disc(60, 30, 12), cv2.dilate(disc(60, 30, 12), np.ones((3, 3)))
    yield true.sum() / predicted.sum()
    yield disc(30, 30, 14).sum() / disc(30, 30, 15).sum()


def test_iou_at_lower_resolutions(tmp_path):
    """In boxes of 28 x 28 pixels, 14 x 14 and 7 x 7 cells are means of 2 x 2 and 4 x 4 pixels."""
    true, predicted = rectangle(10, 10, 38, 38), rectangle(10, 10, 38, 38) & disc(24, 24, 15)
    own = annotation(1, true, id=1, area=784, iscrowd=0)
    content = {"images": IMAGES, "annotations": [own], "categories": CATEGORIES}
    write_json(tmp_path / "truth.json", content)
    write_json(tmp_path / "found.json", [annotation(1, predicted, score=1.0)])
    curves = analyze_models({"x": tmp_path / "found.json"}, tmp_path / "truth.json")
    measured = {p.size: p.mask_iou for p in curves["x"].iou_by_size.points()}
    crop = predicted[10:38, 10:38].astype(np.float32)
    for size in (7, 14, 28):
        cells = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA) >= 0.5
        assert measured[size] == pytest.approx(cells.mean())
    assert measured[28] == pytest.approx(predicted.sum() / true.sum())


@pytest.fixture
def store(tmp_path):
    """Store raw predictions: the square of image 4 in a box of its size, and none on image 1.

    The model's classes are the truth's in another order.
    """
    writer = PredictionWriter(tmp_path / "store", ["dog", "cat"])
    soft = np.full((1, 28, 28), 204, np.uint8)
    soft[0, :, :3] = 51
    box = np.array([[10, 10, 30, 30]], np.float32)
    found = (box, np.array([0.9], np.float32), np.array([1]), soft)
    nothing = (box[:0], found[1][:0], found[2][:0], soft[:0])
    for image, own in ((9, nothing), (4, found), (1, nothing)):
        writer.append([ImagePredictions(image, f"{image}.png", HEIGHT, WIDTH, *own)])
    writer.flush()
    return tmp_path / "store"


def test_raw_predictions_have_soft_masks(truth, store, predictions):
    curves = analyze_models({"raw": store, "good": predictions["good"]}, truth)
    assert curves["raw"].ious == [pytest.approx(0.9)]  # two of twenty columns are below 0.5
    assert curves["good"].reliability is None
    low, high = (point for point in curves["raw"].reliability.bins() if point.cells)
    assert (low.cells, low.foreground, high.cells, high.foreground) == (84, 1, 700, 1)
    assert (low.probability, high.probability) == (pytest.approx(0.2), pytest.approx(0.8))


def test_raw_predictions_of_classes_that_the_truth_lacks_are_refused(truth, tmp_path):
    writer = PredictionWriter(tmp_path / "store", ["cat", "cow"])
    nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0), np.zeros((0, 28, 28), np.uint8))
    writer.append([ImagePredictions(1, "1.png", HEIGHT, WIDTH, *nothing)])
    writer.flush()
    wrong = r"but .* has no categories \['cow'\], only \['cat', 'dog'\]; give"
    with pytest.raises(ValueError, match=wrong):
        analyze_models({"raw": tmp_path / "store"}, truth)


def test_tables_hold_what_is_drawn(truth, store, predictions, tmp_path):
    curves = analyze_models({**predictions, "raw": store}, truth)
    out = tmp_path / "new" / "figures"
    written = write_figures(curves, out)
    assert sorted(written) == sorted(out.iterdir())
    assert len(written) == 16

    def table(name):
        with (out / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def drawn(axes):
        return [
            (line.get_label(), float(x), float(y))
            for line in axes.get_lines()
            if not line.get_label().startswith("_")
            for x, y in line.get_xydata()
        ]

    def middle(row):
        return (float(row["low"]) + float(row["high"])) / 2

    points = {n: c.accuracy_by_distance.points() for n, c in curves.items()}
    sizes = {n: c.iou_by_size.points() for n, c in curves.items()}
    errors = {n: c.error_by_distance.points() for n, c in curves.items()}
    recalls = {n: c.recall_by_iou.points() for n, c in curves.items()}
    soft = {"raw": curves["raw"].reliability}
    bins = {n: r.bins() for n, r in soft.items()}
    foreground = {n: r.foreground() for n, r in soft.items()}
    maps = curves["raw"].boundary_map
    by_distance, by_map = {"raw": maps.map_by_distance()}, {"raw": maps.accuracy_by_map()}
    for name, axes, x, y in [
        ("fig3a", accuracy_figure(points).axes[0], middle, "accuracy"),
        ("fig3b", size_figure(sizes).axes[0], lambda row: float(row["size"]), "mask_iou"),
        ("fig3b", size_figure(sizes).axes[1], lambda row: float(row["size"]), "boundary_iou"),
        ("errors", error_figure(errors).axes[0], middle, "error"),
        ("recall", recall_figure(recalls).axes[0], lambda row: float(row["mask_iou"]), "recall"),
        (
            "calibration",
            reliability_figure(bins, foreground).axes[0],
            lambda row: float(row["probability"]),
            "foreground",
        ),
        (
            "calibration_foreground",
            reliability_figure(bins, foreground).axes[1],
            lambda row: float(row["threshold"]),
            "foreground",
        ),
        ("fig6b", distance_figure(by_distance).axes[0], middle, "value"),
        ("fig6c", map_figure(by_map).axes[0], lambda row: float(row["low"]), "accuracy"),
    ]:
        rows = table(name)
        of_all = not name.startswith(("fig6", "calibration"))
        assert {row["model"] for row in rows} == set(curves if of_all else ["raw"])
        assert drawn(axes) == [(row["model"], x(row), float(row[y])) for row in rows if row[y]]
        assert drawn(axes)


def test_refusals_name_what_is_wrong(truth, predictions, store, tmp_path):
    def refused(error, match, **named):
        with pytest.raises(error, match=match):
            analyze_models(named, truth)

    content = json.loads(truth.read_text())
    result = annotation(1, disc(30, 30, 15), score=0.5)
    refused(FileNotFoundError, "there is no file", a=tmp_path / "absent.json")
    refused(ValueError, "no predictions are given; give the predictions of at least one model")
    boxes = [{k: v for k, v in result.items() if k != "segmentation"}]
    refused(ValueError, "PREFIX.segm.json", a=write_json(tmp_path / "a.json", boxes))
    foreign = [{**result, "image_id": 77}]
    refused(ValueError, "image_id 77", a=write_json(tmp_path / "b.json", foreign))
    small = coco_mask.encode(np.asfortranarray(np.ones((5, 6), np.uint8)))
    small = {**small, "counts": small["counts"].decode()}
    other_size = [{**result, "segmentation": small}]
    refused(ValueError, "5 x 6 pixels .height", a=write_json(tmp_path / "c.json", other_size))
    scoreless = write_json(tmp_path / "d.json", content)
    refused(ValueError, r"(\d+) of \1 annotations have no score", a=scoreless)
    fewer = {**content, "images": IMAGES[:1], "annotations": []}
    refused(
        ValueError,
        "the same images",
        all=predictions["good"],
        fewer=write_json(tmp_path / "e.json", fewer),
    )
    (tmp_path / "empty").mkdir()
    refused(ValueError, "no predictions", a=tmp_path / "empty")
