"""Check the pictures of annotations beside their image."""

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from nbseg.visualization.annotations import draw_comparison, draw_results

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]
CAPTION_HEIGHT = 18


@pytest.fixture
def folder(tmp_path):
    for name, height, width in (("a/1.png", 40, 60), ("2.png", 300, 280)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), np.full((height, width, 3), 100, np.uint8))
    return tmp_path / "images"


IMAGES = [
    {"id": 1, "file_name": "a/1.png", "height": 40, "width": 60},
    {"id": 2, "file_name": "2.png", "height": 300, "width": 280},
    {"id": 3, "file_name": "missing.png", "height": 40, "width": 60},
]


def annotations():
    bitmap = np.zeros((40, 60), np.uint8)
    bitmap[10:30, 20:50] = 1
    rle = coco_mask.encode(np.asfortranarray(bitmap))
    text = {**rle, "counts": rle["counts"].decode()}
    runs = {"size": [40, 60], "counts": [20 * 40 + 10, 20, 60 * 40 - (20 * 40 + 30)]}
    polygon = [[20, 10, 50, 10, 50, 30, 20, 30]]
    box = [20, 10, 30, 20]
    return {
        "rle": {"id": 1, "image_id": 1, "category_id": 3, "bbox": box, "segmentation": text},
        "runs": {"id": 2, "image_id": 1, "category_id": 8, "bbox": box, "segmentation": runs},
        "polygon": {
            "id": 3,
            "image_id": 1,
            "category_id": 8,
            "bbox": box,
            "segmentation": polygon,
            "score": 0.5,
        },
    }


def test_one_png_an_image_with_the_panels_side_by_side(folder, tmp_path):
    own = annotations()
    panels = {"truth": [own["rle"], own["runs"]], "found": [own["polygon"]], "nothing": []}
    out = tmp_path / "new" / "pictures"
    written = draw_comparison(folder, IMAGES, panels, CATEGORIES, out, min_side=120)
    assert written == [out / "a_1.png", out / "2.png"]
    assert sorted(out.iterdir()) == sorted(written)
    small, large = (cv2.imread(str(path)) for path in written)
    assert small.shape == (CAPTION_HEIGHT + 3 * 40, 4 * 3 * 60, 3)
    assert large.shape == (CAPTION_HEIGHT + 300, 4 * 280, 3)

    image, _, found, nothing = np.split(small[CAPTION_HEIGHT:], 4, axis=1)
    assert (image == 100).all() and (nothing == 100).all()
    # Tinted inside the polygon, as it was outside of it and of its name above.
    assert (found[3 * 15 : 3 * 28, 3 * 35 : 3 * 48] != 100).any(axis=2).all()
    assert (found[3 * 32 :] == 100).all() and (found[:, : 3 * 19] == 100).all()


def test_classes_have_colors_of_their_own(folder, tmp_path):
    own = annotations()
    same_place = {**own["rle"], "category_id": 8}
    panels = {"cat": [own["rle"]], "dog": [same_place]}
    (path,) = draw_comparison(folder, IMAGES[:1], panels, CATEGORIES, tmp_path, min_side=40)
    _, cat, dog = np.split(cv2.imread(str(path))[CAPTION_HEIGHT:], 3, axis=1)
    assert (cat[25, 45] != dog[25, 45]).any()


def test_results_are_drawn_beside_the_truth(folder, tmp_path):
    own = annotations()
    truth = {"images": IMAGES[:2], "annotations": [own["rle"]], "categories": CATEGORIES}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    weak = {**own["polygon"], "score": 0.3}
    for name, content in (("list", [weak]), ("coco", {**truth, "annotations": [weak]})):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        out = tmp_path / name
        pictures = {}
        for min_score in (0.2, 0.4):
            written = draw_results(
                tmp_path / "truth.json",
                tmp_path / f"{name}.json",
                folder,
                out,
                "found",
                limit=1,
                min_score=min_score,
            )
            assert written == [out / "a_1.png"]
            image, true, found = np.split(cv2.imread(str(written[0]))[CAPTION_HEIGHT:], 3, axis=1)
            assert (true != image).any()
            pictures[min_score] = found
        assert (pictures[0.4] == 100).all()
        assert (pictures[0.2] != 100).any()


@pytest.mark.parametrize("none", [[], [[]], [[20, 10, 50, 30]], None])
def test_true_objects_without_a_mask_are_not_drawn(folder, tmp_path, none):
    own = annotations()
    pictures = []
    for added in ([], [{**own["runs"], "segmentation": none}]):
        truth = {"images": IMAGES[:1], "annotations": added, "categories": CATEGORIES}
        (tmp_path / "truth.json").write_text(json.dumps(truth))
        (tmp_path / "found.json").write_text(json.dumps([own["polygon"]]))
        paths = [tmp_path / name for name in ("truth.json", "found.json")]
        (path,) = draw_results(*paths, folder, tmp_path / "out", "found", limit=1, min_score=0.2)
        pictures.append(np.split(cv2.imread(str(path))[CAPTION_HEIGHT:], 3, axis=1))
    (_, true, found), (_, true_too, found_too) = pictures
    assert (found == found_too).all()
    # The box is an outline; the inside is not tinted.
    scale = true.shape[0] // 40
    inside = np.s_[scale * 20 : scale * 28, scale * 25 : scale * 45]
    assert (true[inside] == true_too[inside]).all()
