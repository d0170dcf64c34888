"""Check average precision against pycocotools, and boundary AP against its definition."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from annotated_ellipses import CATEGORIES, CLASSES, HEIGHT, WIDTH, encode
from coco_reference import pycocotools
from metric_values import evaluate
from pycocotools import mask as coco_mask

SUMMARY = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


@pytest.mark.parametrize("max_detections", [5, 100, 300])
def test_equals_pycocotools_unrounded(scene, reference, tmp_path, max_detections):
    assert any(annotation["iscrowd"] for annotation in scene[0]["annotations"])
    values = evaluate(*scene, tmp_path, max_detections=max_detections)
    assert set(values) == {f"coco/{kind}_{name}" for kind in ("bbox", "segm") for name in SUMMARY}
    for kind in ("bbox", "segm"):
        expected = reference(kind, max_detections)
        assert 0.05 < expected["mAP"] < 0.95 and -1 not in expected.values()
        for name in SUMMARY:
            assert values[f"coco/{kind}_{name}"] == pytest.approx(expected[name], abs=1e-9)


def test_the_limit_of_detections_matters(scene, tmp_path):
    few, many = (
        evaluate(*scene, tmp_path, metric="segm", max_detections=limit)["coco/segm_mAP"]
        for limit in (100, 300)
    )
    assert many > few + 0.01


def test_classwise(scene, tmp_path):
    values = evaluate(*scene, tmp_path, metric=["segm"], classwise=True)
    for name, category in zip(CLASSES, CATEGORIES, strict=True):
        expected = pycocotools(*scene, "segm", 100, [category["id"]])["mAP"]
        assert values[f"coco/segm_mAP/{name}"] == pytest.approx(expected, abs=1e-9)


def test_boundaries_of_each_class(scene, tmp_path):
    values = evaluate(*scene, tmp_path, metric=("boundary", "segm"), classwise=True)
    for kind in ("boundary", "segm"):
        own = [values[f"coco/{kind}_mAP/{name}"] for name in CLASSES]
        assert values[f"coco/{kind}_mAP"] == pytest.approx(np.mean(own), abs=1e-9)
    assert 0 < values["coco/boundary_mAP"] < values["coco/segm_mAP"]


def test_masks_as_rle_count_the_same(scene, tmp_path):
    truth, samples = scene
    encoded = [
        {
            **sample,
            "pred_instances": {
                **sample["pred_instances"],
                "masks": [encode(mask.numpy()) for mask in sample["pred_instances"]["masks"]],
            },
        }
        for sample in samples
    ]
    kinds = ["bbox", "segm", "boundary"]
    assert evaluate(truth, encoded, tmp_path, metric=kinds) == evaluate(
        truth, samples, tmp_path, metric=kinds
    )


def test_the_results_can_be_kept(scene, tmp_path):
    truth, samples = scene
    prefix = tmp_path / "predictions"
    evaluate(truth, samples, tmp_path, metric="segm", outfile_prefix=str(prefix))
    results = json.loads((tmp_path / "predictions.segm.json").read_text())
    assert len(results) == sum(len(sample["pred_instances"]["scores"]) for sample in samples)
    first = samples[0]["pred_instances"]
    assert results[0]["segmentation"] == {
        "size": [HEIGHT, WIDTH],
        "counts": encode(first["masks"][0].numpy())["counts"].decode(),
    }
    assert results[0]["score"] == pytest.approx(float(first["scores"][0]))


def as_detections(truth):
    samples = []
    for image in truth["images"]:
        own = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        samples.append(
            {
                "img_id": image["id"],
                "ori_shape": (HEIGHT, WIDTH),
                "pred_instances": {
                    "bboxes": torch.tensor(
                        [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in own)]
                    ),
                    "labels": torch.tensor(
                        [[c["id"] for c in CATEGORIES].index(a["category_id"]) for a in own]
                    ),
                    "scores": torch.linspace(0.9, 0.5, len(own)),
                    "masks": [a["segmentation"] for a in own],
                },
            }
        )
    return samples


def test_perfect_predictions_have_an_ap_of_one(scene, tmp_path):
    truth = {**scene[0], "annotations": [a for a in scene[0]["annotations"] if not a["iscrowd"]]}
    kinds = ["bbox", "segm", "boundary"]
    values = evaluate(truth, as_detections(truth), tmp_path, metric=kinds, max_detections=300)
    for name, value in values.items():
        assert value == pytest.approx(1.0, abs=1e-9), name


def boundary(bitmap, width):
    """Return the pixels within ``width`` (Chebyshev) of the background or the image's edge."""
    padded = np.pad(bitmap, width)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * width + 1, 2 * width + 1))
    return bitmap & ~windows.all(axis=(2, 3))


@pytest.mark.parametrize(
    ("ratio", "width", "corner"),
    [(0.02, 4, (20, 20)), (0.005, 1, (20, 20)), (0.02, 4, (0, 0)), (0.1, 21, (20, 20))],
)
def test_boundary_ap_follows_from_the_boundary_iou(tmp_path, ratio, width, corner):
    assert round(ratio * np.hypot(HEIGHT, WIDTH)) == width
    x, y = corner
    true = np.zeros((HEIGHT, WIDTH), bool)
    true[y : y + 60, x : x + 80] = True
    found = np.zeros_like(true)
    found[y : y + 61, x : x + 81] = True
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 4,
        "bbox": [x, y, 80, 60],
        "area": 4800,
        "iscrowd": 0,
        "segmentation": {**encode(true), "counts": encode(true)["counts"].decode()},
    }
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "height": HEIGHT, "width": WIDTH}],
        "annotations": [annotation],
        "categories": CATEGORIES,
    }
    (sample,) = as_detections(truth)
    sample["pred_instances"]["masks"] = [encode(found)]
    ours, theirs = boundary(found, width), boundary(true, width)
    iou = (ours & theirs).sum() / (ours | theirs).sum()
    thresholds = np.linspace(0.5, 0.95, 10)
    assert np.abs(thresholds - iou).min() > 1e-3
    mask_iou = (found & true).sum() / (found | true).sum()
    expected = (thresholds <= min(iou, mask_iou)).mean()
    values = evaluate(
        truth, [sample], tmp_path, metric=["boundary", "segm"], boundary_dilation_ratio=ratio
    )
    assert values["coco/boundary_mAP"] == pytest.approx(expected, abs=1e-9)
    assert values["coco/segm_mAP"] == 1.0
    assert iou < mask_iou


def test_no_prediction_at_all(scene, tmp_path, log):
    truth, samples = scene
    nothing = [
        {
            **sample,
            "pred_instances": {key: value[:0] for key, value in sample["pred_instances"].items()},
        }
        for sample in samples
    ]
    values = evaluate(truth, nothing, tmp_path, metric=["bbox", "segm", "boundary"])
    assert len(values) == 18 and set(values.values()) == {0.0}
    assert any("the model predicted no instances" in record.message for record in log.records)


def test_a_size_without_truth_is_minus_one(scene, tmp_path):
    truth = {**scene[0], "annotations": [a for a in scene[0]["annotations"] if a["area"] < 32**2]}
    values = evaluate(truth, scene[1], tmp_path, metric="segm")
    assert values["coco/segm_mAP_l"] == -1
    assert values["coco/segm_mAP_s"] > 0


def test_no_mask_is_unpacked_to_the_images_size(tmp_path):
    """NumPy's memory stays small for masks that would take 252 MB if unpacked."""
    height, width, count = 1024, 2048, 30
    images, annotations, samples = [], [], []
    for image in range(1, 5):
        images.append({"id": image, "file_name": "", "height": height, "width": width})
        boxes, masks = [], []
        for i in range(count):
            x, y = 60 * i, 30 * i
            polygon = [[x, y, x + 150, y + 10, x + 140, y + 100, x + 5, y + 80]]
            rle = coco_mask.merge(coco_mask.frPyObjects(polygon, height, width))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 30,
                    "bbox": [x, y, 150, 100],
                    "area": int(coco_mask.area(rle)),
                    "iscrowd": 0,
                    "segmentation": polygon,
                }
            )
            boxes.append([x, y, x + 150, y + 100])
            masks.append(rle)
        instances = {
            "bboxes": torch.tensor(boxes),
            "labels": torch.zeros(count, dtype=torch.int64),
            "scores": torch.linspace(0.9, 0.1, count),
            "masks": masks,
        }
        samples.append({"img_id": image, "ori_shape": (height, width), "pred_instances": instances})
    truth = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    tracemalloc.start()
    values = evaluate(truth, samples, tmp_path, metric=["bbox", "segm", "boundary"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * height * width
    assert values["coco/boundary_mAP"] == pytest.approx(1.0)
