"""COCO jsons of other tools, repaired, against masks drawn by hand."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from tool_runs import run_tool

from nbseg.datasets.converters.repair import Repairs, repair_coco

TOOL = Path(__file__).parents[2] / "tools/prepare_data.py"
HEIGHT, WIDTH = 40, 60


def square(x0, y0, x1, y1):
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def rle(mask):
    return {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(mask)["counts"].decode()}


def disk(radius, x=30, y=20):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asfortranarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, np.uint8)


def repair(tmp_path, annotations, repairs=None, images=None):
    """Repair, and return the masks by annotation, the new annotations and the notes."""
    content = {
        "images": images or [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 3, "name": "cell"}],
        "annotations": [{"image_id": 7, "category_id": 3, **each} for each in annotations],
        "origin": "a tool",
        "total": 5,
        "licenses": [{"id": 1}],
    }
    (tmp_path / "old.json").write_text(json.dumps(content))
    out = tmp_path / "new.json"
    prepared = repair_coco(tmp_path / "old.json", out, repairs or Repairs(), force=True)
    coco = COCO(out)
    assert (coco.dataset["origin"], coco.dataset["total"]) == ("a tool", 5)
    assert coco.dataset["licenses"] == [{"id": 1}] and coco.dataset["categories"][0]["id"] == 3
    found = coco.dataset["annotations"]
    assert [annotation["id"] for annotation in found] == list(range(1, len(found) + 1))
    masks = [coco.annToMask(annotation) for annotation in found]
    for mask, annotation in zip(masks, found, strict=True):
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box and annotation["area"] == mask.sum()
    return masks, found, prepared.notes


def test_ids_boxes_and_areas_are_recomputed(tmp_path):
    """As labelformat (no id, no area), Label Studio (ids from 0) and darwin-py (area 0) write."""
    polygon = square(10, 5, 20, 15)
    masks, found, notes = repair(
        tmp_path,
        [
            {"segmentation": [polygon]},
            {"id": 0, "segmentation": [polygon], "bbox": [10, 5, 10, 10], "area": 100},
            {"id": 0, "segmentation": [polygon], "bbox": [10, 5, 10.4, 10], "area": 0},
            {"id": "x", "segmentation": [polygon], "bbox": [10, 5, 20, 15], "score": 0.5},
            {"segmentation": rle(disk(4)), "ignore": 1},
        ],
    )
    expected = np.zeros((HEIGHT, WIDTH))
    expected[5:15, 10:20] = 1
    for mask in masks[:4]:
        np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(masks[4], disk(4))
    assert found[3]["score"] == 0.5 and found[4]["ignore"] == 1
    assert notes == [
        "areas that were missing or differed from the area of the mask: 4",
        "boxes that were missing or more than a pixel away from the mask: 3",
    ]


def test_annotations_that_cannot_be_used_are_left_out(tmp_path):
    boxes = [{"bbox": [1, 1, 5, 5], "segmentation": value} for value in ([], None, {})]
    outside = {"segmentation": [square(100, 100, 110, 110)]}
    strangers = [{"image_id": 8}, {"category_id": 1}]
    used = {"segmentation": [square(0, 0, 4, 4)], "bbox": [0, 0, 4, 4], "area": 16}
    _, found, notes = repair(tmp_path, [*boxes, {"bbox": [1, 1, 5, 5]}, outside, *strangers, used])
    assert len(found) == 1
    assert notes == [
        "annotations of unknown images or categories, left out: 2",
        "annotations with an empty mask, left out: 1",
        "annotations without a mask, left out: 4",
    ]


def test_crowds_become_objects_only_by_option(tmp_path):
    crowd = {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, 1, 2399]}, "iscrowd": 1}
    crowd |= {"bbox": [0, 0, 1, 1], "area": 1}
    assert repair(tmp_path, [crowd])[1][0]["iscrowd"] == 1
    _, found, notes = repair(tmp_path, [crowd, {**crowd, "iscrowd": 0}], Repairs(crowds=True))
    assert [annotation["iscrowd"] for annotation in found] == [0, 0]
    assert notes == ["crowds that are objects now: 1"]


@pytest.mark.parametrize("radius", [1, 3, 5, 8])
def test_polygons_through_pixel_centers_get_their_masks_back(tmp_path, radius):
    """OpenCV's contours, which several exporters write, run through the border pixels."""
    contours, _ = cv2.findContours(disk(radius), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    annotation = {"segmentation": [contour.ravel().tolist() for contour in contours]}
    (mask,) = repair(tmp_path, [annotation], Repairs(pixel_centers=True))[0]
    np.testing.assert_array_equal(mask, disk(radius))
    if radius > 1:
        ((plain,), *_) = repair(tmp_path, [annotation])
        iou = (plain & disk(radius)).sum() / (plain | disk(radius)).sum()
        assert round(iou, 2) == {3: 0.58, 5: 0.75, 8: 0.84}[radius]


def test_polygons_through_pixel_centers_with_a_hole_and_a_line(tmp_path):
    ring = disk(9) - disk(4)
    contours, _ = cv2.findContours(ring, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert len(contours) == 2
    polygons = [contour.ravel().tolist() for contour in contours]
    line = [5, 2, 12, 2]
    both = Repairs(pixel_centers=True, holes=True)
    masks, *_ = repair(tmp_path, [{"segmentation": polygons}, {"segmentation": [line]}], both)
    np.testing.assert_array_equal(masks[0], ring)
    np.testing.assert_array_equal(np.argwhere(masks[1]), [(2, x) for x in range(5, 13)])
    (filled,) = repair(tmp_path, [{"segmentation": polygons}], Repairs(pixel_centers=True))[0]
    np.testing.assert_array_equal(filled, disk(9))


def test_a_polygon_in_another_one_is_a_hole_only_by_option(tmp_path):
    polygons = [square(10, 5, 30, 25), square(15, 10, 20, 15), square(40, 5, 45, 10)]
    expected = np.zeros((HEIGHT, WIDTH))
    expected[5:25, 10:30] = 1
    expected[5:10, 40:45] = 1
    np.testing.assert_array_equal(repair(tmp_path, [{"segmentation": polygons}])[0][0], expected)
    expected[10:15, 15:20] = 0
    np.testing.assert_array_equal(
        repair(tmp_path, [{"segmentation": polygons}], Repairs(holes=True))[0][0], expected
    )


@pytest.mark.parametrize("pixel_centers", [False, True])
def test_overlaps_and_repeated_polygons_are_no_holes(tmp_path, pixel_centers):
    repairs = Repairs(holes=True, pixel_centers=pixel_centers)
    one, two = square(10, 5, 20, 15), square(16, 5, 30, 15)
    border = int(pixel_centers)
    expected = np.zeros((HEIGHT, WIDTH))
    expected[5 : 15 + border, 10 : 20 + border] = 1
    np.testing.assert_array_equal(
        repair(tmp_path, [{"segmentation": [one, one]}], repairs)[0][0], expected
    )
    expected[5 : 15 + border, 10 : 30 + border] = 1
    np.testing.assert_array_equal(
        repair(tmp_path, [{"segmentation": [one, two]}], repairs)[0][0], expected
    )


def test_an_island_in_a_hole_belongs_to_the_object(tmp_path):
    polygons = [square(18, 18, 22, 22), square(5, 5, 35, 35), square(10, 10, 30, 30)]
    expected = np.zeros((HEIGHT, WIDTH))
    expected[5:35, 5:35] = 1
    expected[10:30, 10:30] = 0
    expected[18:22, 18:22] = 1
    np.testing.assert_array_equal(
        repair(tmp_path, [{"segmentation": polygons}], Repairs(holes=True))[0][0], expected
    )


def test_what_cannot_be_repaired_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"annotation 4 in a\.png is neither a list of polygons"):
        repair(tmp_path, [{"id": 4, "segmentation": [[[1, 2], [3, 4], [5, 6]]]}])
    small = {"size": [10, 10], "counts": [0, 5, 95]}
    with pytest.raises(ValueError, match=r"is for an image of 10 x 10 pixels, but a\.png has 60 x"):
        repair(tmp_path, [{"segmentation": small}])
    twice = [{"id": 7, "file_name": f"{n}.png", "height": 9, "width": 9} for n in "ab"]
    with pytest.raises(ValueError, match="the id 7 occurs 2 times in images"):
        repair(tmp_path, [], images=twice)
    path = tmp_path / "old.json"
    with pytest.raises(ValueError, match="give another path"):
        repair_coco(path, path, Repairs())


def test_the_command_repairs_what_the_check_finds(tmp_path):
    def prepare(*arguments):
        said = io.StringIO()
        return run_tool(TOOL, arguments, said, said), said.getvalue()

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    crowd = {"segmentation": rle(disk(5)), "iscrowd": 1, "bbox": [0, 0, 4, 4], "area": 0, "id": 0}
    repair(tmp_path, [crowd])
    old, new = tmp_path / "old.json", tmp_path / "repaired.json"
    assert prepare("check", old, "--images", tmp_path)[0] == 2
    status, said = prepare("import", old, "--crowds", "--out", new)
    assert status == 0 and "crowds that are objects now: 1" in said
    assert prepare("check", new, "--images", tmp_path)[0] == 0
    status, said = prepare("import", old, "--crowds", "--out", new)
    assert status == 0 and "already there" in said
    # The same size, but another mask.
    old.write_text(old.read_text().replace('"iscrowd": 1', '"iscrowd": 0'))
    status, said = prepare("import", old, "--crowds", "--out", new)
    assert status == 2 and "made from other files" in said
