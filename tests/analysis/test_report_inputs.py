"""Check which files a report refuses, and which annotations it leaves out."""

import json

import pytest
from report_files import CATEGORIES, image, inputs_of, square


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def of_first_image(**changes):
    return {**square(1, 9, 8, 8, 20), "id": 7, **changes}


BAD = {
    "no file": (lambda f: f["pseudo"].unlink(), "there is no file .*pseudo.json"),
    "no json": (lambda f: f["pseudo"].write_text("{"), "pseudo.json cannot be read as json"),
    "a list": (lambda f: f["pseudo"].write_text("[]"), "pseudo.json is not a COCO json"),
    "no table": (lambda f: f["truth"].write_text('{"images": []}'), "has no list 'annotations'"),
    "no images": (lambda f: change(f["pseudo"], images=[], annotations=[]), "has no image"),
    "no scores": (
        lambda f: f["pseudo"].write_text(f["truth"].read_text()),
        "6 of 6 annotations have no numeric score",
    ),
    "lost images": (
        lambda f: (f["folder"] / "a/3.png").unlink(),
        "1 of 6 images .* not in .*a/3.png",
    ),
    "other classes": (
        lambda f: change(f["labeled"], categories=[{"id": 9, "name": "cow"}, CATEGORIES[1]]),
        "category 9 is '<cat> & co' in .*pseudo.json, but 'cow' in .*labeled.json",
    ),
    "other images": (
        lambda f: change(f["truth"], images=[image(50)], annotations=[]),
        "pseudo.json and .*truth.json have no image id in common",
    ),
    "other numbers": (
        lambda f: change(f["truth"], images=[{**image(n), "id": n - 1} for n in range(2, 8)]),
        "image 1 has the file_name 'a/1.png' in .*pseudo.json, but 'a/2.png' in .*truth.json",
    ),
    "twice": (lambda f: change(f["truth"], images=[image(1)] * 2), "the id 1 occurs 2 times"),
    "strays": (
        lambda f: change(f["truth"], images=[image(1)]),
        "has the image_id 2, but images has",
    ),
    "no mask": (
        lambda f: change(f["truth"], annotations=[{"id": 1, "image_id": 1, "category_id": 9}]),
        r"annotations\[0\] has no 'bbox'",
    ),
    "half a polygon": (
        lambda f: change(f["truth"], annotations=[of_first_image(segmentation=[[1, 2, 3] * 3])]),
        "the segmentation of annotation 7 is neither a list of polygons",
    ),
    "no box": (
        lambda f: change(f["truth"], annotations=[of_first_image(bbox=[0, 0, float("nan"), 3])]),
        "annotation 7 has the bbox .*four finite numbers",
    ),
    "no score": (
        lambda f: change(f["pseudo"], annotations=[of_first_image(score=None)]),
        "1 of 1 annotations have no numeric score",
    ),
    "no category": (
        lambda f: change(f["truth"], annotations=[], categories=[]),
        "truth.json: the list 'categories' is empty",
    ),
}


@pytest.mark.parametrize("none", [[], [[]], [[1, 2, 3, 4]], None])
def test_instances_without_a_mask_are_left_out(files, none):
    change(files["truth"], annotations=[of_first_image(segmentation=none), of_first_image(id=8)])
    assert list(inputs_of(files, "truth").truth.anns) == [8]


@pytest.mark.parametrize("harm, message", BAD.values(), ids=BAD)
def test_bad_input_is_refused_before_work_starts(files, harm, message):
    harm(files)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        inputs_of(files, "labeled", "truth")
