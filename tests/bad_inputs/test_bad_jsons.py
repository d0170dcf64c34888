"""Check how the tools answer to jsons that are invalid, contradictory or useless for training."""

import gzip
import json
from typing import NamedTuple

import pytest
from json_changes import (
    annotation,
    box,
    category,
    corners,
    crossing,
    empty_runs,
    every,
    from_zero,
    image,
    large,
    odd_supercategories,
    one_image,
    one_instance,
    polygons,
    reversed_categories,
    rle,
    shifted,
    table_twice,
    texts,
    twice,
    without,
)


class Case(NamedTuple):
    """One json: how it is spoiled, and the phrases of what ``check`` and ``train`` say.

    None means that the tool accepts the json, as documented. ``change`` gets the json's content and
    changes it, or returns another; ``text`` replaces the whole file, or makes it of the good text.
    """

    check: tuple[str, ...] | None
    train: tuple[str, ...] | None
    change: object = None
    text: object = None


NO_JSON = ("labeled.json", "cannot be read as json")
CASES = {
    # Files
    "empty file": Case(NO_JSON, NO_JSON, text=""),
    "truncated": Case(NO_JSON, NO_JSON, text='{"images": [{"id": 1, "file_na'),
    "a list at the top": Case(("no list 'images'",), ("labeled.json", "no list"), text="[]"),
    "a number": Case(("no list 'images'",), ("labeled.json", "no list"), text="3"),
    "another encoding": Case(("labeled.json",), ("labeled.json",), text=b'{"images": "\xff"}'),
    "with a byte order mark": Case(("labeled.json",), ("labeled.json",), text=b"\xef\xbb\xbf{}"),
    "a table twice": Case(
        ("the key 'annotations' twice",), ("labeled.json", "'annotations' twice"), text=table_twice
    ),
    "packed by gzip": Case(
        ("compressed",), ("labeled.json", "unpack"), text=lambda t: gzip.compress(t.encode())
    ),
    "UTF-16": Case(None, None, text=lambda text: text.encode("utf-16")),
    "UTF-8 with a byte order mark": Case(None, None, text=lambda text: text.encode("utf-8-sig")),
    "only licenses": Case(("no list 'images'",), ("labeled.json",), text='{"licenses": [{}]}'),
    "no images": Case(("no list 'images'",), ("no list",), lambda c: c.pop("images") and None),
    "images are no list": Case(("no list 'images'",), ("no list",), lambda c: {**c, "images": {}}),
    "an image without an id": Case(("images[0] has no 'id'",), ("'id'",), without("images", "id")),
    "an image without a name": Case(
        ("images[0] has no 'file_name'",), ("'file_name'",), without("images", "file_name")
    ),
    "an image without a height": Case(("no 'height'",), ("'height'",), without("images", "height")),
    "an annotation without an image": Case(
        ("no 'image_id'",), ("'image_id'",), without("annotations", "image_id")
    ),
    "an annotation without a box": Case(
        ("no 'bbox'",), ("'bbox'",), without("annotations", "bbox")
    ),
    # Ids and names
    "an unknown category": Case(
        ("unknown categories",),
        ("unknown categories", "category_id 77"),
        annotation(category_id=77),
    ),
    "an unknown image": Case(
        ("unknown images",), ("unknown images", "image_id 77"), annotation(image_id=77)
    ),
    "an image id twice": Case(("repeated image ids",), ("repeated image ids",), twice("images")),
    "an annotation id twice": Case(
        ("repeated annotation ids",), ("repeated annotation ids",), twice("annotations")
    ),
    "a file name twice": Case(
        ("repeated image file names",), ("repeated image file names",), twice("images", id=77)
    ),
    "a category name twice": Case(
        ("repeated category names",),
        ("'star'", "repeated category names"),
        twice("categories", id=77),
    ),
    "the categories in another order": Case(None, None, reversed_categories),
    "a category id 0": Case(None, None, from_zero),
    "other class names": Case(
        ("repeated category names",),
        ("labeled.json", "repeated category names"),
        every("categories", name="x"),
    ),
    "one class is missing": Case(None, ("labeled.json", "star"), category(name="Star")),
    "text ids of images": Case(None, None, texts("images")),
    "text ids of annotations": Case(None, None, texts("annotations")),
    "text ids of categories": Case(None, None, texts("categories")),
    "ids beyond 2**53": Case(None, None, large),
    "negative ids": Case(None, None, shifted(-100)),
    "ids with a fraction": Case(None, None, shifted(0.5)),
    "odd supercategories": Case(None, None, odd_supercategories),
    "a line break in a class name": Case(None, ("labeled.json", "star"), category(name="st\nar")),
    "a file under two names": Case(
        ("repeated image file names",),
        ("repeated image file names",),
        twice("images", id=77, file_name="./000000.png"),
    ),
    "an annotation id 0": Case(("id 0",), None, annotation(id=0)),
    # Sizes and boxes
    "a height as text": Case(None, None, image(height="64")),
    "a height with a fraction": Case(("height",), ("height",), image(height=64.5)),
    "another height": Case(("differs from the json",), ("000000.png",), image(height=65)),
    "a height of 0": Case(("height",), ("height",), image(height=0)),
    "a missing image": Case(("nowhere.png",), ("nowhere.png",), image(file_name="nowhere.png")),
    "backslashes in a name": Case(("missing",), ("sub",), image(file_name="sub\\000000.png")),
    "an empty file name": Case(("missing",), ("this is a folder",), image(file_name="")),
    "a space behind a name": Case(("missing",), ("white space",), image(file_name="000000.png ")),
    "a name beyond the limit": Case(
        ("too long",), ("labeled.json", "missing"), image(file_name="a" * 999)
    ),
    "a name that begins with a slash": Case(
        ("missing",), ("; train/000000.png exists; correct",), image(file_name="/000000.png")
    ),
    "a name with ..": Case(None, None, image(file_name="../train/000000.png")),
    "the json among the images": Case(
        ("cannot be read as an image",),
        ("cannot be read as an image", "1 images"),
        image(file_name="../labeled.json"),
    ),
    "corners instead of boxes": Case(
        ("two corners", "width, height"), ("labeled.json", "two corners"), corners
    ),
    "an infinite area": Case(("without a positive",), None, annotation(area=float("inf"))),
    "a box of three numbers": Case(("four numbers",), ("four numbers",), box(1, 2, 3)),
    "a box of texts": Case(("four numbers",), ("four numbers",), box("a", "b", "c", "d")),
    "a box with NaN": Case(("box",), ("four numbers",), box(1, 2, float("nan"), 4)),
    "an infinite box": Case(("box",), ("four numbers",), box(1, 2, float("inf"), 4)),
    "a box of negative size": Case(("boxes without area",), None, box(20, 20, -10, 10)),
    "a box outside": Case(("beyond the image",), None, box(200, 200, 10, 10)),
    "a box over the border": Case(("beyond the image",), None, box(-30, -30, 60, 60)),
    # Masks
    "a crossing polygon": Case(("fewer than three points or without area",), None, crossing),
    "an odd polygon": Case(
        ("not flat lists of x, y pairs with values from -2**20 to 2**20",),
        ("not flat lists of x, y pairs with values from -2**20 to 2**20",),
        annotation(segmentation=[[1, 1, 9, 1, 9, 9, 1]]),
    ),
    "polygons in units of the image": Case(
        ("whose IoU with the tight boxes of their masks",),
        ("labeled.json", "convert the boxes and the polygons"),
        polygons(64),
    ),
    "polygons of nested points": Case(
        ("not flat lists of x, y pairs with values from -2**20 to 2**20",),
        ("not flat lists of x, y pairs with values from -2**20 to 2**20",),
        polygons(1, nested=True),
    ),
    "empty runs": Case(None, None, empty_runs),
    "a polygon of two points": Case(
        ("fewer than three points or without area",), None, annotation(segmentation=[[1, 1, 9, 9]])
    ),
    "no mask": Case(None, None, annotation(segmentation=[])),
    "a polygon with NaN": Case(
        ("not flat lists of x, y pairs with values from -2**20 to 2**20",),
        ("not flat lists of x, y pairs with values from -2**20 to 2**20",),
        annotation(segmentation=[[1, 1, 9, 1, 9, float("nan")]]),
    ),
    "run lengths": Case(None, None, rle(64, 64, compressed=False)),
    "compressed run lengths": Case(None, None, rle(64, 64, compressed=True)),
    "run lengths of another size": Case(
        ("RLE masks that are invalid or not of the image's size",),
        ("RLE masks that are invalid or not of the image's size",),
        rle(70, 64, compressed=False),
    ),
    "compressed run lengths of another size": Case(
        ("RLE masks that are invalid or not of the image's size",),
        ("RLE masks that are invalid or not of the image's size",),
        rle(70, 64, compressed=True),
    ),
    "broken run lengths": Case(
        ("RLE masks that are invalid or not of the image's size",),
        ("RLE masks that are invalid or not of the image's size",),
        annotation(segmentation={"size": [64, 64], "counts": [5, 6]}),
    ),
    "a mask that is a text": Case(
        ("RLE masks that are invalid or not of the image's size",),
        ("RLE masks that are invalid or not of the image's size",),
        annotation(segmentation="x"),
    ),
    # Nothing to train on
    "no image": Case(None, ("labeled.json",), lambda c: {**c, "images": [], "annotations": []}),
    "no object": Case(None, ("labeled.json",), lambda c: {**c, "annotations": []}),
    "crowds only": Case(
        ("crowds (iscrowd 1)",), ("labeled.json", "crowd"), every("annotations", iscrowd=1)
    ),
    "no crowd, as a text": Case(None, None, every("annotations", iscrowd="False")),
    "crowds as truth values": Case(
        ("crowds (iscrowd 1)",), ("labeled.json", "crowd"), every("annotations", iscrowd=True)
    ),
    "ignored objects only": Case(
        ("ignored (ignore 1)",), ("labeled.json", "ignore"), every("annotations", ignore=1)
    ),
    "objects without masks only": Case(
        ("without a mask",), ("labeled.json",), every("annotations", segmentation=[])
    ),
    "one image": Case(None, None, one_image),
    "one object of a class": Case(None, None, one_instance),
}


def spoil(root, case):
    path = root / "labeled.json"
    if case.text is not None:
        text = case.text(path.read_text()) if callable(case.text) else case.text
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    else:
        content = json.loads(path.read_text())
        content = case.change(content) or content
        path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", CASES)
def test_check(root, name, check):
    spoil(root, CASES[name])
    answer(check("labeled.json"), CASES[name].check, 2)


@pytest.mark.parametrize("name", CASES)
def test_train(root, name, train):
    spoil(root, CASES[name])
    answer(train("--stages", "teacher"), CASES[name].train, 1)


@pytest.mark.parametrize("text", ["[]", '{"images": [{"id": 1, "height": 64, "width": 64}]}'])
def test_predict(root, text, train):
    """The predict stage compares the unlabeled images with the labeled ones."""
    (root / "labeled.json").write_text(text)
    (root / "teacher.pth").touch()
    found = train("--stages", "predict", "--cfg-options", "teacher.checkpoint=teacher.pth")
    answer(found, ("labeled.json cannot be listed", "labeled.json is not a COCO json"), 1)


OTHERS = {
    "unlabeled: no image": ("unlabeled.json", lambda c: {**c, "images": []}, 1, "no image"),
    "unlabeled: a file under two names": (
        *("unlabeled.json", twice("images", id=77, file_name="./000004.png")),
        *(1, "repeated image file names"),
    ),
    "unlabeled: objects of other classes": (
        *("unlabeled.json", category(name="zebra")),
        *(0, "unlabeled.json: 2 images"),
    ),
    "validation: no image": (
        *("val.json", lambda c: {**c, "images": [], "annotations": []}),
        *(1, "no image"),
    ),
    "validation: corners instead of boxes": ("val.json", corners, 1, "two corners"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_sets(root, name, train, edit):
    file, change, status, says = OTHERS[name]
    edit(root / file, change)
    found = train("--dry-run")
    assert found.status == status, found.says
    assert file in found.says and says in found.says
    assert found.says.count("\n") < 2 or not status


def test_a_test_on_the_training_set_is_warned_of(root, train):
    plan = train("--dry-run", "--cfg-options", "val_json=labeled.json", "val_images=train/")
    assert "warning: test set labeled.json: the model is also trained on this set" in plan.says
    assert "also trained on this" not in train("--dry-run").says


def answer(found, phrases, status):
    if phrases is None:
        assert found.status == 0, found.says
        return
    assert found.status == status, found.says
    for phrase in phrases:
        assert phrase in found.says
    assert "Traceback" not in found.says
