"""Hints on annotations of other tools; the contours are OpenCV's."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from nbseg.datasets.annotation_hints import annotation_hints
from nbseg.datasets.own_data import read_labeled

SIZE = 40


def disks(count=12):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for number in range(count):
        yield np.uint8((rows - 20) ** 2 + (columns - 20) ** 2 <= (number % 5 + 4) ** 2)


def by_contour(mask):
    """Return the annotation that exporters make from OpenCV's contours, with the mask's box."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    box = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))).tolist()
    return {"segmentation": [contours[0].ravel().tolist()], "bbox": box}


def by_edges(mask):
    """Return an annotation whose polygon runs along the edges of the pixels."""
    annotation = by_contour(np.kron(mask, np.ones((2, 2), np.uint8)))
    (polygon,) = annotation["segmentation"]
    edges = [value // 2 + value % 2 for value in polygon]
    box = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask))).tolist()
    return {"segmentation": [edges], "bbox": box}


def test_polygons_through_pixel_centers():
    found = [by_contour(mask) for mask in disks()]
    (hint,) = annotation_hints(found)
    assert "12 of 12 objects with polygons end exactly one pixel" in hint
    assert "import --pixel-centers" in hint
    # Few objects, or many that do not look so, give no hint.
    assert not annotation_hints(found[:9])
    assert not annotation_hints(found + [by_edges(mask) for mask in disks(4)])
    assert not annotation_hints([by_edges(mask) for mask in disks()])


@pytest.mark.parametrize("run_lengths", [False, True])
def test_masks_that_fill_their_boxes(run_lengths):
    def rectangle(side):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[5 : 5 + side, 3:20] = 1
        encoded = coco_mask.encode(np.asfortranarray(mask))
        corners = [3, 5, 20, 5, 20, 5 + side, 3, 5 + side]
        return {"segmentation": encoded if run_lengths else [corners], "bbox": [3, 5, 17, side]}

    (hint,) = annotation_hints([rectangle(side) for side in range(1, 13)])
    assert "12 of 12 masks fill their whole boxes" in hint
    assert not annotation_hints([rectangle(9)] * 9 + [by_edges(mask) for mask in disks(3)])


def test_a_polygon_inside_another_one():
    def square(x, side):
        return [x, x, x + side, x, x + side, x + side, x, x + side]

    outer, inner, beside = square(2, 20), square(5, 3), square(30, 4)
    box = [2, 2, 20, 20]
    (hint,) = annotation_hints([{"id": 8, "segmentation": [inner, outer], "bbox": box}])
    assert "inside another polygon: 1 of 1 objects with polygons, the first: annotation 8" in hint
    assert not annotation_hints([{"id": 8, "segmentation": [outer, beside], "bbox": box}])
    assert not annotation_hints([{"id": 8, "segmentation": [outer, outer], "bbox": box}])
    # The box of the small square is inside that of the triangle, but the square is not.
    triangle = [0, 0, 30, 0, 0, 30]
    corner = [24, 24, 28, 24, 28, 28, 24, 28]
    assert not annotation_hints([{"id": 8, "segmentation": [triangle, corner], "bbox": box}])


def test_init_shows_the_hints(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((SIZE, SIZE, 3), np.uint8))
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, **by_contour(mask)}
        for number, mask in enumerate(disks(), start=1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": SIZE, "width": SIZE}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{**each, "area": 50} for each in annotations],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    _, (note,) = read_labeled(tmp_path / "a.json", tmp_path)
    assert note.startswith(f"note: {tmp_path / 'a.json'}: 12 of 12 objects with polygons end")


def test_malformed_annotations_are_ignored():
    values = [None, [], [[]], [[1, 2]], "x", {"counts": 3}, {"size": [2, 2], "counts": [1]}]
    boxes = [None, [1, 2], [0, 0, 5, 5], "x"]
    assert not annotation_hints([{"segmentation": v, "bbox": b} for v in values for b in boxes])
