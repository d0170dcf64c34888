"""Check the comparison of two models: order, table, page and pictures."""

import base64
import csv
import json
import re

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from nbseg.analysis.comparison import write_comparison

HEIGHT, WIDTH = 40, 60
NAMES = ("same.png", "sub/moved.png", "missed.png")
IMAGES = [
    {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH}
    for i, name in enumerate(NAMES, start=5)
]
CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]


def result(image, x0, x1, category=3, score=0.9):
    bitmap = np.zeros((HEIGHT, WIDTH), np.uint8)
    bitmap[10:30, x0:x1] = 1
    rle = coco_mask.encode(np.asfortranarray(bitmap))
    return {
        "image_id": image,
        "category_id": category,
        "score": score,
        "bbox": [x0, 10, x1 - x0, 20],
        "segmentation": {**rle, "counts": rle["counts"].decode()},
    }


A = [
    result(5, 10, 30),
    result(6, 10, 30),
    result(7, 10, 30),
    result(7, 40, 50, 8),
    result(7, 35, 40, score=0.1),
]
B = [result(5, 10, 30), result(6, 10, 25), result(7, 10, 30), result(7, 40, 50, 3)]
TRUE = [result(5, 10, 30), result(6, 10, 25), result(7, 10, 30), result(7, 40, 50, 8)]


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
    return tmp_path / "images"


def coco(annotations, images=IMAGES):
    numbered = [{**a, "id": i, "area": 1, "iscrowd": 0} for i, a in enumerate(annotations, start=1)]
    return {"images": images, "categories": CATEGORIES, "annotations": numbered}


@pytest.fixture
def save(tmp_path):
    def write(name, content):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_without_true_instances_masks_and_lone_objects_decide(folder, save, tmp_path):
    out = tmp_path / "new" / "out"
    models = {"first": save("a", A), "second": save("b", B)}
    differences = write_comparison(models, folder, out, save("images", coco([])))
    # One object of each is of a class of its own; of two masks 15 of 20 columns agree.
    assert [(d.file_name, d.difference) for d in differences] == [
        ("missed.png", 2),
        ("sub/moved.png", 0.25),
        ("same.png", 0),
    ]
    assert [(d.matched, d.only_a, d.only_b) for d in differences] == [
        (1, 1, 1),
        (1, 0, 0),
        (1, 0, 0),
    ]
    assert {d.quality_a for d in differences} == {None}
    with (out / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["file_name"], row["mean_iou"]) for row in rows] == [
        ("1", "missed.png", "1.0"),
        ("2", "sub/moved.png", "0.75"),
        ("3", "same.png", "1.0"),
    ]
    assert [row["picture"] for row in rows] == [
        "pictures/001-missed.jpg",
        "pictures/002-sub_moved.jpg",
        "pictures/003-same.jpg",
    ]
    page = (out / "index.html").read_text()
    embedded = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert [base64.b64decode(code) for code in embedded] == [
        (out / row["picture"]).read_bytes() for row in rows
    ]
    assert "http" not in page and "first" in page and "second" in page


def test_with_truth_quality_decides(folder, save, tmp_path):
    models = {"A": save("a", A), "B": save("b", B)}
    differences = write_comparison(models, folder, tmp_path / "out", save("t", coco(TRUE)), limit=1)
    # F1 is 1/2 where one of two objects has the wrong class, 1 where both are right.
    assert [(d.file_name, d.quality_a, d.quality_b) for d in differences] == [
        ("missed.png", 1, 0.5),
        ("sub/moved.png", 0.75, 1),
        ("same.png", 1, 1),
    ]
    assert differences[0].gain == -0.5
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 1


def test_pictures_of_an_earlier_comparison_are_replaced(folder, save, tmp_path):
    models, truth = {"A": save("a", A), "B": save("b", B)}, save("t", coco([]))
    write_comparison(models, folder, tmp_path / "out", truth)
    own = tmp_path / "out" / "pictures" / "00054602-3bf57337.jpg"
    own.write_text("the user's")
    write_comparison(models, folder, tmp_path / "out", truth, limit=1)
    names = sorted(path.name for path in own.parent.iterdir())
    assert names == [own.name, "001-missed.jpg"]


def test_objects_of_one_model_alone_are_filled(folder, save, tmp_path):
    models = {"A": save("a", A), "B": save("b", B)}
    write_comparison(models, folder, tmp_path / "out", save("t", coco(TRUE)))
    picture = cv2.imread(str(tmp_path / "out" / "pictures" / "001-missed.jpg"))
    scale = 512 // WIDTH
    step = scale * WIDTH + 4  # panels of the enlarged image, 4 pixels apart, below a caption
    assert picture.shape == (18 + scale * HEIGHT, 4 * step - 4, 3)

    def gray(panel, x):
        pixel = picture[18 + scale * 25, panel * step + scale * x].astype(int)
        return np.abs(pixel - 100).max() < 12

    assert [gray(panel, 20) for panel in range(4)] == [True] * 4  # found by both: an outline
    assert [gray(panel, 45) for panel in range(4)] == [True, False, False, True]
    # A prediction below the least score is not there.
    assert gray(1, 37)


def test_classes_are_told_by_name_and_files_by_their_place(folder, save, tmp_path):
    """Predictions of tools/infer.py, with whole paths and other ids, are compared, too."""
    own = [
        {**image, "id": i, "file_name": str(folder / image["file_name"])}
        for i, image in enumerate(IMAGES)
    ]
    moved = [{**a, "image_id": a["image_id"] - 5, "category_id": a["category_id"] + 1} for a in A]
    content = coco(moved, own)
    content["categories"] = [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}]
    models = {"A": save("a", coco(A)), "B": save("b", content)}
    differences = write_comparison(models, folder, tmp_path / "out")
    assert {(d.difference, d.only_a, d.only_b) for d in differences} == {(0, 0, 0)}
    assert sum(d.matched for d in differences) == 4


def test_refusals_leave_nothing(folder, save, tmp_path):
    out = tmp_path / "out"
    a, b, truth = save("a", A), save("b", B), save("t", coco(TRUE))

    def refused(error, match, models, images=folder, **options):
        with pytest.raises(error, match=match):
            write_comparison(models, images, out, **options)
        assert not out.exists()

    both = {"A": a, "B": b}
    refused(ValueError, "--truth", both)
    refused(FileNotFoundError, "no image folder", both, tmp_path / "no", truth_json=truth)
    refused(FileNotFoundError, "3 of 3 images", both, tmp_path, truth_json=truth)
    refused(FileNotFoundError, "there is no file", {**both, "B": "no.json"}, truth_json=truth)
    refused(FileNotFoundError, "no config no.py", {**both, "B": "no.py:no.pth"}, truth_json=truth)
    refused(FileNotFoundError, "no model", {**both, "B": "no.onnx"}, truth_json=truth)
    refused(ValueError, r"expected two models .*found \['A'\]", {"A": a}, truth_json=truth)
    refused(ValueError, "rename the model 'truth'", {"A": a, "truth": b}, truth_json=truth)
    refused(ValueError, "at least 1", both, truth_json=truth, limit=0)
    fewer = save("fewer", coco([], IMAGES[:2]))
    refused(ValueError, "the same images", {"A": truth, "B": fewer})
