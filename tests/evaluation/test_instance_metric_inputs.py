"""Check which arguments, jsons and predictions InstanceMetric accepts and refuses."""

import copy
import json

import numpy as np
import pytest
import torch
from annotated_ellipses import CATEGORIES, CLASSES, HEIGHT, WIDTH
from metric_values import evaluate
from pycocotools import mask as coco_mask

from nbseg.evaluation.instance_metric import InstanceMetric


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
        with pytest.raises(ValueError, match="metainfo.classes is .*truth.json only has the cat"):
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
