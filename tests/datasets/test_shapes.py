"""The procedural set: repeatable, valid for pycocotools, and not solvable by color."""

import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from nbseg.datasets.shape_outlines import CLASSES
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.rle import encode_rle

OPTIONS = ShapesOptions(size=128, train=60, val=5, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("shapes") / "set"
    assert generate_shapes(out, OPTIONS)
    return out


@pytest.fixture(scope="module")
def coco(folder):
    return COCO(folder / "annotations" / "instances_train.json")


def _digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_options_give_the_same_bytes_in_another_process(folder, tmp_path):
    program = (
        "import sys; from nbseg.datasets.shapes import *;"
        "generate_shapes(sys.argv[1], ShapesOptions(size=128, train=60, val=5, seed=3))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "again")], check=True)
    digests = _digests(folder)
    assert len(digests) == 60 + 5 + 3
    assert _digests(tmp_path / "again") == digests


def test_seed_and_split_change_the_images_and_a_smaller_set_is_a_prefix(folder, tmp_path):
    generate_shapes(tmp_path / "seed", ShapesOptions(train=2, val=1, seed=4))
    generate_shapes(tmp_path / "prefix", ShapesOptions(train=2, val=1, seed=3))
    full, seed, prefix = (_digests(f) for f in (folder, tmp_path / "seed", tmp_path / "prefix"))
    for name in ("train/000000.png", "train/000001.png", "val/000000.png"):
        assert prefix[name] == full[name]
        assert seed[name] != full[name]
    assert full["train/000000.png"] != full["val/000000.png"]


def test_coco_file_describes_the_images(folder, coco):
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert coco.getCatIds() == [1, 2, 3, 4, 5]
    assert len(coco.imgs) == 60
    assert list(coco.anns) == list(range(1, len(coco.anns) + 1))
    assert coco.dataset["info"]["options"] == {"size": 128, "train": 60, "val": 5, "seed": 3}
    for image in coco.imgs.values():
        pixels = cv2.imread(str(folder / "train" / image["file_name"]))
        assert pixels.shape == (image["height"], image["width"], 3) == (128, 128, 3)
        assert 3 <= len(coco.imgToAnns[image["id"]]) <= 8


def test_boxes_and_areas_are_those_of_the_masks(coco):
    for annotation in coco.anns.values():
        rle = coco.annToRLE(annotation)
        assert annotation["bbox"] == mask_utils.toBbox(rle).tolist()
        assert annotation["area"] == mask_utils.area(rle) >= 20
        assert annotation["iscrowd"] == 0


def test_visible_masks_are_disjoint_and_some_objects_hide_others(coco):
    overlapping_boxes = 0
    for image_id in coco.imgs:
        annotations = coco.imgToAnns[image_id]
        assert sum(coco.annToMask(a).astype(int) for a in annotations).max() == 1
        boxes = [a["bbox"] for a in annotations]
        overlapping_boxes += (mask_utils.iou(boxes, boxes, [0] * len(boxes)) > 0.05).sum() > len(
            boxes
        )
    assert overlapping_boxes > 10


def test_classes_are_balanced_and_sizes_spread(coco):
    counts = np.bincount([a["category_id"] for a in coco.anns.values()])[1:]
    assert counts.min() > 0.6 * counts.mean()
    sides = [max(a["bbox"][2:]) for a in coco.anns.values()]
    assert np.quantile(sides, 0.1) < 20
    assert np.quantile(sides, 0.95) > 45


def test_every_class_has_its_form(coco):
    """Topology and solidity, measured by OpenCV on large whole objects, tell forms apart."""
    holes, solidity = {}, {}
    for annotation in coco.anns.values():
        x, y, w, h = annotation["bbox"]
        if min(w, h) < 20 or x == 0 or y == 0 or x + w == 128 or y + h == 128:
            continue
        contours, tree = cv2.findContours(
            coco.annToMask(annotation), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        if (tree[0, :, 3] < 0).sum() > 1:  # cut in two by another object
            continue
        name = CLASSES[annotation["category_id"] - 1]
        hull = cv2.contourArea(cv2.convexHull(contours[0]))
        solidity.setdefault(name, []).append(annotation["area"] / hull)
        holes.setdefault(name, []).append(len(contours) > 1)
    assert np.mean(holes["gear"]) > 0.5
    assert np.median(solidity["leaf"]) > 0.85
    for name in ("star", "crescent", "cross"):
        assert np.median(solidity[name]) < 0.75


def test_color_does_not_predict_the_class(folder, coco):
    """Nearest class centroid of an object's mean color and contrast, leaving it out."""
    features, labels = [], []
    for image in coco.imgs.values():
        pixels = cv2.imread(str(folder / "train" / image["file_name"])).astype(float)
        for annotation in coco.imgToAnns[image["id"]]:
            inside = pixels[coco.annToMask(annotation) > 0]
            features.append(np.concatenate([inside.mean(0), inside.std(0)]))
            labels.append(annotation["category_id"] - 1)
    features, labels = np.array(features), np.array(labels)
    features = (features - features.mean(0)) / features.std(0)
    hits = 0
    for i in range(len(labels)):
        others = np.arange(len(labels)) != i
        centroids = [features[others & (labels == c)].mean(0) for c in range(5)]
        hits += np.linalg.norm(centroids - features[i], axis=1).argmin() == labels[i]
    # Chance is 0.2; 3.5 standard deviations of that many draws lie above it.
    assert hits / len(labels) < 0.2 + 3.5 * np.sqrt(0.2 * 0.8 / len(labels))


def test_objects_stand_out_from_what_surrounds_them(folder, coco):
    contrasts = []
    for image in coco.imgs.values():
        pixels = cv2.imread(str(folder / "train" / image["file_name"])).astype(float)
        for annotation in coco.imgToAnns[image["id"]]:
            mask = coco.annToMask(annotation)
            ring = cv2.dilate(mask, np.ones((7, 7), np.uint8)) - cv2.dilate(
                mask, np.ones((3, 3), np.uint8)
            )
            difference = pixels[mask > 0].mean(0) - pixels[ring > 0].mean(0)
            contrasts.append(np.linalg.norm(difference))
    assert np.quantile(contrasts, 0.05) > 30


def test_a_finished_set_is_kept_and_another_is_refused(tmp_path):
    out = tmp_path / "set"
    options = ShapesOptions(size=64, train=2, val=1)
    assert generate_shapes(out, options)
    before = (out / "shapes.json").stat().st_mtime_ns
    assert not generate_shapes(out, options)
    assert (out / "shapes.json").stat().st_mtime_ns == before

    other = ShapesOptions(size=64, train=3, val=1)
    with pytest.raises(FileExistsError, match="'train': 2.*--force"):
        generate_shapes(out, other)
    assert generate_shapes(out, other, force=True)
    assert len(list((out / "train").iterdir())) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a shapes set"):
        generate_shapes(tmp_path, ShapesOptions(size=64, train=1, val=1), force=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_nothing_is_left_when_generation_breaks_off(tmp_path, monkeypatch):
    def write_bytes(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("pathlib.Path.write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space left"):
        generate_shapes(tmp_path / "set", ShapesOptions(size=64, train=1, val=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"size": 10}, {"train": 0}, {"val": 0}, {"seed": -1}])
def test_wrong_options_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}.*found"):
        ShapesOptions(**wrong)


@pytest.mark.parametrize("size", [64, 200, 256])
def test_other_image_sizes(tmp_path, size):
    generate_shapes(tmp_path / "set", ShapesOptions(size=size, train=3, val=1))
    content = json.loads((tmp_path / "set/annotations/instances_train.json").read_text())
    assert all(mask_utils.decode(a["segmentation"]).shape == (size, size)
               for a in content["annotations"])  # fmt: skip


def test_encode_rle_equals_pycocotools():
    rng = np.random.default_rng(0)
    masks = [np.zeros((5, 7), bool), np.ones((300, 200), bool), np.eye(9, dtype=bool)]
    masks += [rng.random((h, w)) < rng.random() for h, w in rng.integers(1, 90, (60, 2))]
    masks += [cv2.circle(np.zeros((999, 801), np.uint8), (400, 500), 320, 1, -1) > 0]
    for mask in masks:
        expected = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
        found = encode_rle(mask)
        assert found["size"] == expected["size"]
        assert found["counts"] == expected["counts"].decode()


def test_generation_needs_neither_torch_nor_openmmlab():
    program = (
        "import sys; import nbseg.datasets.shapes, nbseg.datasets.splits;"
        "assert not {'torch', 'mmcv', 'mmdet', 'mmengine', 'pycocotools'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
