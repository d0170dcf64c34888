"""Values of annotation tools become numbers; what they refer to stays the same."""

import copy

import pytest

from nbseg.coco_values import (
    area_of,
    has_broken_polygon,
    has_mask,
    is_box,
    normalize,
    reason_left_out,
)

SQUARE = [1, 1, 5, 1, 5, 5, 1, 5]
CONTENT = {
    "images": [
        {"id": 7, "file_name": "a.png", "height": 8, "width": 9},
        {"id": 9, "file_name": "b.png", "height": 8, "width": 9},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 2, "bbox": [1, 1, 4, 4], "segmentation": [SQUARE]}
    ],
}


def _normalized(**changes):
    """Normalize CONTENT whose ids of images and categories are replaced by ``change(id)``."""
    content = copy.deepcopy(CONTENT)
    for table, reference in (("images", "image_id"), ("categories", "category_id")):
        change = changes.get(table, int)
        for row in content[table]:
            row["id"] = change(row["id"])
        for row in content["annotations"]:
            row[reference] = change(row[reference])
    normalize(content, "a.json")
    return content


def test_whole_numbers_stay():
    assert _normalized() == CONTENT
    assert _normalized(images=str, categories=float) == CONTENT
    assert _normalized(images=lambda i: 2**53 - i)["annotations"][0]["image_id"] == 2**53 - 9


@pytest.mark.parametrize("change", ["img_{}".format, lambda i: 2**60 + i, "{:03}".format])
def test_other_ids_become_the_place_in_the_table(change):
    content = _normalized(images=change, categories=change)
    assert [image["id"] for image in content["images"]] == [1, 2]
    assert [category["id"] for category in content["categories"]] == [1, 2]
    (annotation,) = content["annotations"]
    assert (annotation["image_id"], annotation["category_id"]) == (2, 2)


def test_an_unknown_reference_meets_no_new_number():
    content = copy.deepcopy(CONTENT)
    content["images"][0]["id"] = "first"
    content["annotations"][0]["image_id"] = 1
    normalize(content, "a.json")
    assert content["annotations"][0]["image_id"] == -1


def test_sizes_boxes_and_flags_become_numbers():
    content = copy.deepcopy(CONTENT)
    content["images"][0].update(height="8", width=9.0)
    content["annotations"][0].update(
        bbox=["1", "1.5", "4", 4], iscrowd=None, ignore="0", area="16", id="x"
    )
    normalize(content, "a.json")
    assert content["images"] == CONTENT["images"]
    assert content["annotations"][0] == {
        **CONTENT["annotations"][0],
        **{"bbox": [1, 1.5, 4, 4], "iscrowd": 0, "ignore": 0, "area": 16},
    }


@pytest.mark.parametrize("height", ["tall", 8.5, None, 0, -3, float("nan")])
def test_a_size_that_is_none_is_named(height):
    content = copy.deepcopy(CONTENT)
    content["images"][1]["height"] = height
    with pytest.raises(ValueError, match=r"a\.json: image 9 has the height .*whole number"):
        normalize(content, "a.json")


@pytest.mark.parametrize(
    ("mask", "area"),
    [
        ([SQUARE], 16),
        ([SQUARE, [0, 0, 2, 0, 0, 2]], 18),
        ([SQUARE, [0, 0, 2, 0, 0]], 16),
        ({"size": [8, 9], "counts": [5, 3, 60, 4]}, 7),
        ({"size": [2, 2], "counts": "013"}, 1),  # runs of 0, 1 and 3 pixels
        (None, 20),
        ([], 20),
        ([[1, 1, 5, 5]], 20),
    ],
)
def test_an_absent_area_is_that_of_the_mask_or_of_the_box(mask, area):
    annotation = {"bbox": [1, 1, 4, 5], "segmentation": mask}
    assert area_of(annotation) == area
    assert has_mask(annotation) == (area != 20)
    assert area_of({**annotation, "area": 3}) == 3


@pytest.mark.parametrize("broken", [[1, 2, 3] * 3, [1, 2, 3, 4, 5, float("nan")], "x", [None] * 6])
def test_a_polygon_is_pairs_of_finite_numbers(broken):
    assert has_broken_polygon({"segmentation": [SQUARE, broken]})
    for sound in ([SQUARE], [[]], [], None, {"size": [8, 9], "counts": "013"}):
        assert not has_broken_polygon({"segmentation": sound})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"iscrowd": 1}, "crowds"),
        ({"ignore": 1}, "ignored"),
        ({"segmentation": None}, "without a mask"),
        ({"segmentation": []}, "without a mask"),
        ({"segmentation": [[]]}, "without a mask"),
        ({"segmentation": [[1, 1, 5, 5]]}, "without a mask"),
        ({"segmentation": {"size": [8, 9]}}, "without a mask"),
        ({"bbox": [1, 1, 0.5, 4]}, "smaller than a pixel"),
        ({"bbox": [1, 1, 4]}, "smaller than a pixel"),
        ({"area": 0}, "without an area"),
    ],
)
def test_why_an_object_is_not_trained_on(change, reason):
    found = reason_left_out({**CONTENT["annotations"][0], **change})
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize("wrong", [2**63, 10**400, 1e30, float("nan"), "5", None, [5]])
def test_a_box_has_four_numbers_that_tensors_hold(wrong):
    assert is_box([3, 2, 4.5, 5]) and not is_box([3, 2, wrong, 5])
