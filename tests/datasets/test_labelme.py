"""Jsons of labelme, against masks drawn by hand and masks of pycocotools."""

import base64
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from tool_runs import run_tool

from nbseg.datasets.converters.import_labels import LabelSource, import_labels

TOOL = Path(__file__).parents[2] / "tools/prepare_data.py"
HEIGHT, WIDTH = 40, 60
SPOT = np.array([[0, 1, 1], [1, 0, 1]], np.uint8)


def png(mask):
    stream = io.BytesIO()
    Image.fromarray(mask * 255).convert("1").save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def shape(points, kind="polygon", label="cell", group=None, **more):
    """Return a shape with the keys that labelme 6.3 writes."""
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        **more,
    }


SHAPES = [
    shape([[10.0, 5.0], [20.0, 5.0], [20.0, 15.0], [10.0, 15.0]]),
    shape([[50.5, 30.25], [40.0, 35.75]], "rectangle", "box"),
    shape([[30.0, 20.0], [34.0, 23.0]], "circle"),
    shape([[2.0, 30.0], [4.0, 31.0]], "mask", mask=png(SPOT)),
    shape([[50, 2], [56, 8], [50, 14], [44, 8]], "oriented_rectangle", "box"),
    shape([[0, 0], [4, 0], [4, 4], [0, 4]], group=1),
    shape([[0, 36], [4, 36], [4, 40], [0, 40]], group=1),
    shape([[0, 36], [4, 36], [4, 40], [0, 40]], label="box", group=1),
    shape([[5, 5], [9, 9]], "line"),
    shape([[5, 5]], "point"),
    shape([[1, 1], [9, 1], [9, 9]], label="__ignore__"),
]


def write(path, shapes=(), image="a.png", size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "6.3.1", "flags": {}, "shapes": list(shapes), "imagePath": image}
    content |= {"imageData": None, "imageHeight": size[0], "imageWidth": size[1]}
    path.write_text(json.dumps(content))


def photo(path, height=HEIGHT, width=WIDTH):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def convert(folder, images):
    out = folder / "coco.json"
    prepared = import_labels(LabelSource(folder, images, "labelme"), out, force=True)
    return json.loads(out.read_text()), prepared


def test_shapes_become_objects(tmp_path):
    photo(tmp_path / "a.png")
    write(tmp_path / "a.json", SHAPES)
    content, prepared = convert(tmp_path, tmp_path)
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert names == {1: "box", 2: "cell"}
    found = [
        (names[each["category_id"]], coco_mask.decode(each["segmentation"]), each)
        for each in content["annotations"]
    ]
    labels = ["cell", "box", "cell", "cell", "box", "cell", "box"]
    assert [label for label, *_ in found] == labels
    expected = np.zeros((7, HEIGHT, WIDTH), np.uint8)
    expected[0, 5:15, 10:20] = 1
    corners = [40, 30.25, 50.5, 30.25, 50.5, 35.75, 40, 35.75]
    expected[1] = coco_mask.decode(coco_mask.frPyObjects([corners], HEIGHT, WIDTH))[..., 0]
    # A pixel belongs to a circle of radius 5 if its center does.
    for row, column in np.ndindex(HEIGHT, WIDTH):
        expected[2, row, column] = np.hypot(row + 0.5 - 20, column + 0.5 - 30) <= 5
    expected[3, 30:32, 2:5] = SPOT
    diamond = [50, 2, 56, 8, 50, 14, 44, 8]
    expected[4] = coco_mask.decode(coco_mask.frPyObjects([diamond], HEIGHT, WIDTH))[..., 0]
    expected[5, :4, :4] = expected[5, 36:, :4] = 1
    expected[6, 36:, :4] = 1
    for (_, mask, annotation), wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mask, wanted)
        assert annotation["area"] == wanted.sum() and annotation["iscrowd"] == 0
        rows, columns = np.nonzero(wanted)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box
    assert prepared.notes == [
        "shapes of the type line, left out: 1",
        "shapes of the type point, left out: 1",
        "shapes with the label __ignore__, left out: 1",
    ]


def test_the_image_of_a_json_is_found(tmp_path):
    """By its path, with the separators of Windows, or by its name alone."""
    images = tmp_path / "images"
    for name in ("a.png", "one/b.png", "two/b.png", "two/c.png", "unlabeled.png"):
        photo(images / name)
    write(tmp_path / "jsons/a.json", SHAPES[:1], "..\\images\\a.png")
    write(tmp_path / "jsons/b.json", (), "../images/two/b.png")
    write(tmp_path / "jsons/c.json", SHAPES[:2], "/home/someone/c.png")
    content, prepared = convert(tmp_path / "jsons", images)
    named = {image["file_name"]: image["id"] for image in content["images"]}
    assert sorted(named) == ["a.png", "two/b.png", "two/c.png"]
    counts = [each["image_id"] for each in content["annotations"]]
    assert [counts.count(named[name]) for name in sorted(named)] == [1, 0, 2]
    assert prepared.notes == ["images without labels, left out: 2"]

    write(tmp_path / "jsons/d.json", (), "elsewhere/b.png")
    with pytest.raises(FileNotFoundError, match="several images, one/b.png and two/b.png, of this"):
        convert(tmp_path / "jsons", images)
    write(tmp_path / "jsons/d.json", (), "d.png")
    with pytest.raises(FileNotFoundError, match=r"d\.json is for the image d\.png, but .* no imag"):
        convert(tmp_path / "jsons", images)
    photo(tmp_path / "d.png")
    write(tmp_path / "jsons/d.json", (), "../d.png")
    with pytest.raises(ValueError, match=r"is for the image .*d\.png, which is not in .*images"):
        convert(tmp_path / "jsons", images)
    write(tmp_path / "jsons/d.json", (), "c.png")
    with pytest.raises(ValueError, match=r"d\.json: the image two/c\.png is labeled twice"):
        convert(tmp_path / "jsons", images)


def test_an_image_without_a_path_or_in_parallel_folders(tmp_path):
    for name in ("one/b.png", "two/b.png", "c.png"):
        photo(tmp_path / "images" / name)
    write(tmp_path / "jsons/one/b.json", SHAPES[:1], "b.png")
    write(tmp_path / "jsons/two/b.json", SHAPES[:2], "b.png")
    write(tmp_path / "jsons/c.json", (), None)
    content, _ = convert(tmp_path / "jsons", tmp_path / "images")
    names = {image["id"]: image["file_name"] for image in content["images"]}
    counts = [names[each["image_id"]] for each in content["annotations"]]
    assert sorted(names.values()) == ["c.png", "one/b.png", "two/b.png"]
    assert counts == ["one/b.png", "two/b.png", "two/b.png"]


def test_objects_without_a_pixel_are_counted(tmp_path):
    photo(tmp_path / "a.png")
    tiny = shape([[3.1, 3.1], [3.2, 3.1], [3.2, 3.2]])
    outside = shape([[90, 3], [99, 9]], "rectangle")
    write(tmp_path / "a.json", [SHAPES[0], tiny, outside, shape(SHAPES[0]["points"], group="")])
    content, prepared = convert(tmp_path, tmp_path)
    assert len(content["annotations"]) == 2
    assert prepared.notes == ["objects without a pixel in the image, left out: 2"]


def test_a_turned_photo_has_the_size_that_is_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.jpg", exif=exif)
    write(tmp_path / "a.json", SHAPES[:1], "a.jpg", (WIDTH, HEIGHT))
    content, _ = convert(tmp_path, tmp_path)
    assert (content["images"][0]["height"], content["images"][0]["width"]) == (WIDTH, HEIGHT)
    write(tmp_path / "a.json", SHAPES[:1], "a.jpg")
    with pytest.raises(ValueError, match="of 60 x 40 pixels, but .* has 40 x 60; if .* Exif"):
        convert(tmp_path, tmp_path)


BAD = {
    "a polygon of two points": shape([[1, 1], [5, 5]]),
    "a circle of three points": shape([[1, 1], [5, 5], [9, 9]], "circle"),
    "a rectangle of three points": shape([[1, 1], [5, 5], [9, 9]], "rectangle"),
    "points that are no pairs": shape([[1, 1, 1], [5, 5, 2]]),
    "no number": shape([["x", 1], [5, 5], [5, 9]]),
    "a coordinate that is not finite": shape([[float("nan"), 1], [5, 5], [5, 9]]),
    "a mask that is no image": shape([[1, 1], [5, 5]], "mask", mask="AAAA"),
    "a mask beyond the image": shape([[58, 1], [60, 2]], "mask", mask=png(SPOT)),
    "a mask that is missing": shape([[1, 1], [5, 5]], "mask"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_shapes_are_named(tmp_path, name):
    photo(tmp_path / "a.png")
    write(tmp_path / "a.json", [SHAPES[0], BAD[name]])
    with pytest.raises(ValueError, match=r"a\.json: shapes\[1\] is a malformed"):
        convert(tmp_path, tmp_path)


def test_the_command(tmp_path):
    def prepare(*arguments):
        said = io.StringIO()
        return run_tool(TOOL, arguments, said, said), said.getvalue()

    photo(tmp_path / "images/a.png")
    command = ("import", tmp_path / "images", "--out", tmp_path / "coco.json")
    (tmp_path / "images/a.json").write_text("[]")
    status, said = prepare(*command, "--format", "labelme")
    assert status == 2 and "a.json is no json of labelme" in said
    write(tmp_path / "images/a.json", SHAPES)
    status, said = prepare(*command)
    assert status == 0 and "7 instances" in said
    assert prepare("check", tmp_path / "coco.json", "--images", tmp_path / "images")[0] == 0
