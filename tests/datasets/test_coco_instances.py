"""Labels follow the classes' names, whatever the json's order, ids and gaps."""

import copy
import json

import numpy as np
import pytest
from mmdet.datasets import CocoDataset

from nbseg.datasets.coco_instances import CocoInstanceDataset
from nbseg.datasets.loading import LoadCroppedAnnotations

CLASSES = ("star", "gear", "leaf")
HEIGHT, WIDTH = 20, 30


def _square(x, y):
    return [[x, y, x + 4, y, x + 4, y + 4, x, y + 4]]


def _annotation(number, image, category, x, **more):
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [x, 2, 4, 4],
        "area": 16,
        "iscrowd": 0,
        "segmentation": _square(x, 2),
        **more,
    }


CONTENT = {
    "images": [
        {"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 2)
    ],
    "categories": [{"id": i, "name": name} for i, name in zip((4, 8, 6), CLASSES, strict=True)],
    "annotations": [
        _annotation(1, 1, 4, 2),
        _annotation(2, 1, 8, 12),
        _annotation(3, 2, 6, 7),
        _annotation(4, 2, 4, 20, iscrowd=1),
    ],
}


def _read(tmp_path, content, kind=CocoInstanceDataset, **options):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    options = {"filter_cfg": {"filter_empty_gt": True}, **options}
    options |= {"data_prefix": {"img": ""}, "metainfo": {"classes": CLASSES}, "pipeline": []}
    dataset = kind(ann_file=str(path), **options)
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def _objects(infos):
    """The objects as (image, x, class)."""
    return [
        (info["img_path"], instance["bbox"][0], CLASSES[instance["bbox_label"]])
        for info in infos
        for instance in info["instances"]
    ]


TRUE = [("1.png", 2, "star"), ("1.png", 12, "gear"), ("2.png", 7, "leaf"), ("2.png", 20, "star")]


def test_equals_mmdetection_where_the_order_is_that_of_the_classes(tmp_path):
    assert _read(tmp_path, CONTENT) == _read(tmp_path, CONTENT, CocoDataset)


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 2, 0)])
def test_another_order_of_categories(tmp_path, order):
    content = {**CONTENT, "categories": [CONTENT["categories"][i] for i in order]}
    assert _objects(_read(tmp_path, content)) == TRUE
    assert _objects(_read(tmp_path, content, CocoDataset)) != TRUE


def test_a_category_that_the_json_lacks(tmp_path):
    content = {
        **CONTENT,
        "categories": CONTENT["categories"][1:],
        "annotations": CONTENT["annotations"][1:3],
    }
    assert _objects(_read(tmp_path, content)) == TRUE[1:3]


def test_a_category_that_the_classes_lack(tmp_path):
    content = copy.deepcopy(CONTENT)
    content["categories"].insert(0, {"id": 1, "name": "root"})
    content["annotations"].append(_annotation(5, 2, 1, 11))
    assert _objects(_read(tmp_path, content)) == TRUE


def test_two_categories_of_one_name_are_refused(tmp_path):
    content = {**CONTENT, "categories": [*CONTENT["categories"], {"id": 9, "name": "gear"}]}
    with pytest.raises(ValueError, match=r"a\.json has 2 categories with the name 'gear'"):
        _read(tmp_path, content)


def test_ids_that_are_no_whole_numbers(tmp_path):
    content = copy.deepcopy(CONTENT)
    for image in content["images"]:
        image.update(id=f"img_{image['id']}", height=f"{HEIGHT}", width=float(WIDTH))
    for category in content["categories"]:
        category["id"] += 2**60
    for annotation in content["annotations"]:
        annotation["image_id"] = f"img_{annotation['image_id']}"
        annotation["category_id"] += 2**60
        annotation.pop("area")
        annotation["iscrowd"] = annotation["iscrowd"] or None
    assert _read(tmp_path, content) == _read(tmp_path, CONTENT)


@pytest.mark.parametrize(
    "mask",
    [None, [], [[]], [[1, 1, 5, 5]], {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}, "key"],
)
def test_an_object_without_a_mask_is_ignored(tmp_path, mask):
    content = copy.deepcopy(CONTENT)
    content["annotations"][0]["segmentation"] = mask
    if mask == "key":
        del content["annotations"][0]["segmentation"]
    info = _read(tmp_path, content)[0]
    results = LoadCroppedAnnotations(with_bbox=True, with_mask=True).transform(
        {**info, "ori_shape": (HEIGHT, WIDTH), "img_shape": (HEIGHT, WIDTH)}
    )
    assert results["gt_ignore_flags"].tolist() == [True, False]
    assert results["gt_bboxes_labels"].tolist() == [0, 1]
    bitmaps = results["gt_masks"].masks
    assert bitmaps[0].sum() == 0
    expected = np.zeros((HEIGHT, WIDTH))
    expected[2:6, 12:16] = 1
    np.testing.assert_array_equal(bitmaps[1], expected)
