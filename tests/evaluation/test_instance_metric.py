"""Check average precision against pycocotools, and boundary AP against its definition."""

import copy
import functools
import json
import tracemalloc

import numpy as np
import pytest
import torch
from annotated_ellipses import CATEGORIES, CLASSES, HEIGHT, WIDTH, encode
from coco_reference import pycocotools
from pycocotools import mask as coco_mask

from nbseg.evaluation.instance_metric import InstanceMetric

SUMMARY = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


@pytest.fixture(scope="module")
def reference(scene):
    """What pycocotools says of the scene, computed once: ``reference(kind, max_detections)``."""
    return functools.cache(functools.partial(pycocotools, *scene))


def evaluate(truth, samples, folder, **options):
    path = folder / "truth.json"
    path.write_text(json.dumps(truth))
    metric = InstanceMetric(ann_file=str(path), **options)
    metric.dataset_meta = {"classes": options.pop("classes", CLASSES)}
    metric.process({}, samples)
    return metric.evaluate(len(samples))


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


def test_wrong_use_is_named(scene, tmp_path):
    absent = str(tmp_path / "absent.json")
    with pytest.raises(ValueError, match=r"bbox, segm and boundary, found \['proposal'\]"):
        InstanceMetric(ann_file=absent, metric=["segm", "proposal"])
    with pytest.raises(ValueError, match="boundary_dilation_ratio .* found 0"):
        InstanceMetric(ann_file=absent, boundary_dilation_ratio=0)
    with pytest.raises(ValueError, match="max_detections must be >= 1, found 0"):
        InstanceMetric(ann_file=absent, max_detections=0)
    unused = r"does not use the CocoMetric options \['iou_thrs', 'use_mp_eval'\]"
    with pytest.raises(ValueError, match=unused):
        InstanceMetric(ann_file=absent, iou_thrs=[0.9], use_mp_eval=True)
    truth, samples = scene
    boxes = [
        {
            **sample,
            "pred_instances": {k: v for k, v in sample["pred_instances"].items() if k != "masks"},
        }
        for sample in samples
    ]
    assert evaluate(truth, boxes, tmp_path, metric="bbox")["coco/bbox_mAP"] > 0.05
    with pytest.raises(ValueError, match="segm AP needs masks, but the predictions have none"):
        evaluate(truth, boxes, tmp_path, metric=["bbox", "segm"])


@pytest.mark.parametrize("metric", ["segm", "boundary"])
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (HEIGHT, WIDTH - 1)])
def test_masks_of_another_size_are_refused(tmp_path, metric, size):
    mask = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
    image = {"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}
    annotation = {"id": 1, "image_id": 1, "category_id": CATEGORIES[0]["id"], "iscrowd": 0}
    annotation |= {"bbox": [0, 0, WIDTH, HEIGHT], "area": HEIGHT * WIDTH, "segmentation": mask}
    truth = {"images": [image], "categories": CATEGORIES, "annotations": [annotation]}
    predicted = {
        "bboxes": torch.tensor([[0.0, 0, WIDTH, HEIGHT]]),
        "labels": torch.tensor([0]),
        "scores": torch.ones(1),
        "masks": [coco_mask.encode(np.ones(size, np.uint8, order="F"))],
    }
    sample = {"img_id": 1, "ori_shape": (HEIGHT, WIDTH), "pred_instances": predicted}
    found, wanted = (f"\\({h}, {w}\\)" for h, w in (size, (HEIGHT, WIDTH)))
    with pytest.raises(ValueError, match=f"mask in a.png has .* {found} .* {wanted}"):
        evaluate(truth, [sample], tmp_path, metric=metric)


def test_truth_that_does_not_fit_is_refused_before_anything_is_predicted(scene, tmp_path):
    path = tmp_path / "truth.json"
    truth = copy.deepcopy(scene[0])
    path.write_text(json.dumps(truth))
    for wrong in (("dog", "car"), (*CLASSES, "horse")):
        with pytest.raises(ValueError, match="metainfo.classes is .*truth.json has the categories"):
            InstanceMetric(str(path)).dataset_meta = {"classes": wrong}
    del truth["annotations"][3]["segmentation"]
    path.write_text(json.dumps(truth))
    InstanceMetric(str(path), metric="bbox")
    number = truth["annotations"][3]["id"]
    with pytest.raises(ValueError, match=f"annotation {number} of .*truth.json has no mask"):
        InstanceMetric(str(path), metric=["segm", "boundary"])


def test_annotations_count_from_zero_too(scene, tmp_path):
    truth, samples = scene
    annotations = [{**a, "id": i} for i, a in enumerate(truth["annotations"])]
    expected, found = (
        evaluate(one, samples, tmp_path, metric=["bbox", "segm", "boundary"])
        for one in (truth, {**truth, "annotations": annotations})
    )
    assert found == expected


def test_predictions_can_be_written_alone(scene, tmp_path):
    truth, samples = scene
    images = {**truth, "annotations": []}
    prefix = str(tmp_path / "found")
    assert not evaluate(images, samples, tmp_path, outfile_prefix=prefix, format_only=True)
    written = json.loads((tmp_path / "found.segm.json").read_text())
    assert len(written) == sum(len(sample["pred_instances"]["scores"]) for sample in samples)


def test_categories_are_found_by_name(scene, tmp_path):
    truth, samples = scene
    reordered = {**truth, "categories": truth["categories"][::-1]}
    kinds = ["bbox", "segm", "boundary"]
    expected, found = (
        evaluate(one, samples, tmp_path, metric=kinds, classwise=True) for one in (truth, reordered)
    )
    assert found == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda truth: (
            [image.update(id=2**60 + image["id"]) for image in truth["images"]]
            + [a.update(image_id=2**60 + a["image_id"]) for a in truth["annotations"]]
        ),
        lambda truth: (
            [image.update(id=f"img_{image['id']}") for image in truth["images"]]
            + [a.update(image_id=f"img_{a['image_id']}") for a in truth["annotations"]]
        ),
        lambda truth: (
            [category.update(id=f"c{category['id']}") for category in truth["categories"]]
            + [a.update(category_id=f"c{a['category_id']}") for a in truth["annotations"]]
        ),
        lambda truth: [image.update(height=f"{image['height']}") for image in truth["images"]],
        lambda truth: [image.update(height=float(image["height"])) for image in truth["images"]],
        lambda truth: [a.update(iscrowd=a["iscrowd"] or None) for a in truth["annotations"]],
        lambda truth: [a.pop("iscrowd") for a in truth["annotations"] if not a["iscrowd"]],
        lambda truth: [a.pop("area") for a in truth["annotations"]],
        lambda truth: [a.update(id=f"a{a['id']}") for a in truth["annotations"]],
    ],
)
def test_values_of_other_types_do_not_change_the_result(scene, reference, tmp_path, change):
    """Images are numbered from 1 in the scene, as in a json whose ids are no whole numbers."""
    truth = copy.deepcopy(scene[0])
    change(truth)
    found = evaluate(truth, scene[1], tmp_path)
    for kind in ("bbox", "segm"):
        for name, value in reference(kind, 100).items():
            assert found[f"coco/{kind}_{name}"] == pytest.approx(value, abs=1e-9)
