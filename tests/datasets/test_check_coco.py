"""Every kind of problem is found, and nothing in a sound json."""

import copy
import json

import cv2
import numpy as np
import pytest
from official_trees import write_coco

from nbseg.datasets.annotation_checks import APART, CORNERS, annotation_problem
from nbseg.datasets.check_coco import check_coco
from nbseg.datasets.converters.folder import convert_folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    write_coco(root)
    return root, json.loads((root / "annotations/instances_train2017.json").read_text())


def _check(tmp_path, images, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    return check_coco(path, images)


def test_nothing_is_wrong_with_a_sound_json(tree, tmp_path):
    root, content = tree
    prepared, problems = _check(tmp_path, root / "train2017", content)
    assert problems == {}
    assert prepared.summary.images == 6
    assert prepared.summary.instances.total() == 18


def _set(key, value, position=0):
    def change(content):
        content["annotations"][position][key] = value

    return change


def _image(key, value):
    def change(content):
        content["images"][0][key] = value

    return change


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("images that are missing", _image("file_name", "nowhere.jpg")),
        ("images whose size differs from the json", _image("height", 65)),
        ("repeated image ids", lambda c: c["images"].append(c["images"][0])),
        ("repeated annotation ids", lambda c: c["annotations"].append(c["annotations"][0])),
        ("repeated category ids", lambda c: c["categories"].append(c["categories"][0])),
        (
            "repeated image file names",
            lambda c: c["images"].append({**c["images"][0], "id": 99999}),
        ),
        (
            "repeated category names",
            lambda c: c["categories"].append({**c["categories"][0], "id": 999}),
        ),
        ("annotations with the id 0, which COCO's evaluation reads as 'no match'", _set("id", 0)),
        ("annotations of unknown images", _set("image_id", 12345)),
        ("annotations of unknown categories", _set("category_id", 12)),
        (
            "polygons with fewer than three points or without area",
            _set("segmentation", [[1, 1, 5, 5]]),
        ),
        (
            "polygons with fewer than three points or without area",
            _set("segmentation", [[1, 1, 5, 5, 9, 9]]),
        ),
        (
            "polygons that are not flat lists of x, y pairs with values from -2**20 to 2**20",
            _set("segmentation", [[1, 1, 5, 5, 9]]),
        ),
        (
            "polygons that are not flat lists of x, y pairs with values from -2**20 to 2**20",
            _set("segmentation", [[1, 1, 5, 1, 5, float("nan")]]),
        ),
        (APART, _set("segmentation", [[1, 1, 5, 1, 5, 5]])),
        (
            "boxes with an edge more than 2 pixels away from the same edge of their "
            "masks' tight boxes",
            _set("bbox", [34, 10, 29, 20]),
        ),
        (CORNERS, _set("bbox", [34, 10, 63, 36])),
        ("boxes without area or with non-finite values", _set("bbox", [1, 1, 0, 5])),
        ("boxes less than a pixel wide or high", _set("bbox", [1, 1, 0.9, 5])),
        ("annotations without a positive 'area'", _set("area", 0)),
        ("annotations without an 'area'", lambda c: c["annotations"][0].pop("area")),
        ("boxes that extend more than 2 pixels beyond the image", _set("bbox", [90, 1, 20, 5])),
        ("boxes that are not four numbers", _set("bbox", [90, 1, 20])),
        (
            "RLE masks that are invalid or not of the image's size",
            _set("segmentation", {"size": [64, 96], "counts": [10, 20]}, 1),
        ),
        (
            "RLE masks that are invalid or not of the image's size",
            _set("segmentation", {"size": [96, 64], "counts": [96 * 64]}, 1),
        ),
        (
            "RLE masks that are invalid or not of the image's size",
            _set("segmentation", {"size": [64, 96], "counts": "~~~"}, 1),
        ),
        ("empty masks", _set("segmentation", {"size": [64, 96], "counts": [64 * 96]}, 1)),
        (APART, _set("bbox", [0, 0, 96, 64], 1)),
        (
            "boxes with an edge more than 2 pixels away from the same edge of their "
            "masks' tight boxes",
            _set("bbox", [0, 0, 30, 20], 1),
        ),
    ],
)
def test_a_problem_is_found(tree, tmp_path, kind, change):
    root, content = tree
    content = copy.deepcopy(content)
    change(content)
    _, problems = _check(tmp_path, root / "train2017", content)
    assert kind in problems
    assert len(problems[kind]) == 1 or kind == "images whose size differs from the json"


def test_an_unreadable_image_is_found(tree, tmp_path):
    _, content = tree
    folder = tmp_path / "images"
    folder.mkdir()
    for image in content["images"]:
        (folder / image["file_name"]).write_bytes(b"no image")
    _, problems = _check(tmp_path, folder, content)
    assert len(problems["images that cannot be read"]) == 6


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": []}', '{"images": [{}], "annotations": [], "categories": []}']
)
def test_what_is_no_coco_json_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=str(path)):
        check_coco(path, tmp_path)


def test_a_folder_becomes_a_json_without_annotations(tmp_path):
    folder = tmp_path / "images"
    sizes = {"b.png": (5, 7), "sub/a.jpg": (8, 4), "a.jpg": (3, 9)}
    for name, (height, width) in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((height, width, 3), np.uint8))
    out = tmp_path / "list.json"
    assert convert_folder(folder, out, ["cat", "dog"]).summary.images == 3
    content = json.loads(out.read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.jpg", "b.png", "sub/a.jpg"]
    for image in content["images"]:
        assert (image["height"], image["width"]) == sizes[image["file_name"]]
    assert content["annotations"] == []
    assert content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert check_coco(out, folder)[1] == {}
    assert convert_folder(folder, out, ["cat", "dog"]).summary is None
    with pytest.raises(FileExistsError, match="--force"):
        convert_folder(folder, out, ["cat"])

    (folder / "broken.png").write_bytes(b"x")
    with pytest.raises(ValueError, match="broken.png cannot be read"):
        convert_folder(folder, tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        convert_folder(tmp_path / "nowhere", out)


@pytest.mark.parametrize("size", [[32], True, [24, 33], None])
def test_run_lengths_that_stop_a_training_come_before_a_box_outside(size):
    annotation = {
        "bbox": [100, 100, 5, 5],
        "area": 25,
        "segmentation": {"size": size, "counts": [768]},
    }
    assert (
        annotation_problem(annotation, 24, 32)
        == "RLE masks that are invalid or not of the image's size"
    )
    annotation["segmentation"]["size"] = [24, 32]
    assert (
        annotation_problem(annotation, 24, 32)
        == "boxes that extend more than 2 pixels beyond the image"
    )
