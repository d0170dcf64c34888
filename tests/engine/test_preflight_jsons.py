"""Check that jsons with other contents than training or testing needs are refused at the start."""

import json

import pytest

import nbseg.register  # noqa: F401
from nbseg.engine.preflight.jsons import check_annotations
from nbseg.engine.preflight.model import warn_of_many_objects
from nbseg.engine.preflight.overlap import check_overlap
from nbseg.engine.preflight.truth import check_truth
from nbseg.errors import StageError


def test_one_loose_box_is_not_a_set_of_corners():
    """A box that is too large by 3 pixels near (0, 0) equals the two corners of its mask."""
    polygon = [3, 3, 40, 3, 40, 40, 3, 40]
    row = {"image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1369, "segmentation": [polygon]}
    rows = [{**row, "id": number, "bbox": [3, 3, 37, 37]} for number in (1, 2)]
    loose = [{**row, "id": number, "bbox": [3, 3, 40, 40]} for number in (3, 4)]
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 480, "width": 640}]}
    (warning,) = check_annotations({**content, "annotations": rows + loose[:1]}, "training set")
    assert warning.startswith("warning: training set: 1 boxes that are given as two corners")
    with pytest.raises(
        StageError, match="2 boxes that are given as two corners.* x, y, width, height"
    ):
        check_annotations({**content, "annotations": rows[:1] + loose}, "training set")


@pytest.fixture
def compare(tmp_path):
    """Compare labeled images, of a json with the given text, with unlabeled ones."""
    (tmp_path / "a.png").write_bytes(b"content")
    (tmp_path / "labeled.json").write_text("")
    (tmp_path / "unlabeled.json").write_text(json.dumps({"images": [IMAGE]}))

    def leaf(name, **more):
        names = {"ann_file": f"{name}.json", "data_root": str(tmp_path), "data_prefix": {"img": ""}}
        return {"type": "CocoInstanceDataset", **names, **more}

    def run(text, **more):
        (tmp_path / "labeled.json").write_text(text)
        check_overlap({"dataset": leaf("labeled", **more)}, {"dataset": leaf("unlabeled")})

    return run


IMAGE = {"id": 1, "file_name": "a.png", "height": 8, "width": 8}
BROKEN_JSONS = {
    "": "cannot be read as json",
    '{"images": [{"id": 1': "cannot be read as json",
    "[]": "no list 'images'",
    "{}": "no list 'images'",
    '{"images": {"a.png": 1}}': "no list 'images'",
    '{"images": ["a.png"]}': r"images\[0\] is 'a.png'",
    '{"images": [{"id": 1, "height": 8, "width": 8}]}': r"images\[0\] has no 'file_name'",
}


@pytest.mark.parametrize("more", [{}, {"type": "CocoDataset"}, {"indices": 1}])
@pytest.mark.parametrize("text", BROKEN_JSONS)
def test_a_labeled_json_that_cannot_be_compared_is_named(compare, text, more):
    with pytest.raises(StageError, match=rf"images of .*/labeled\.json .*{BROKEN_JSONS[text]}"):
        compare(text, **more)


def test_a_data_set_of_mmdetection_that_cannot_be_compared_is_named(compare):
    with pytest.raises(StageError, match=r"labeled\.json cannot be listed \(KeyError: 'file_name'"):
        compare(
            json.dumps({"images": [{"id": 1}], "annotations": [], "categories": []}),
            **{"type": "CocoDataset", "indices": 1},
        )


@pytest.mark.parametrize("more", [{}, {"annotations": 3}, {"annotations": [{}], "categories": []}])
def test_only_the_images_are_compared(compare, more):
    with pytest.raises(StageError, match=r"1 image\(s\) of .* labeled set: .*a\.png\. Remove"):
        compare(json.dumps({"images": [IMAGE], **more}))
    compare(json.dumps({"images": [{**IMAGE, "file_name": "absent.png"}], **more}))


ANNOTATION = {
    **{"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 16, "bbox": [1, 1, 4, 4]},
    "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]],
}
CATEGORY = {"id": 1, "name": "cat"}
TRUTH = {"images": [IMAGE], "annotations": [ANNOTATION], "categories": [CATEGORY]}


def truth_checked(path, content, evaluator):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    dataset = {"type": "CocoInstanceDataset", "data_prefix": {"img": ""}}
    dataset["metainfo"] = {"classes": ["cat"]}
    return check_truth(dataset, {**evaluator, "ann_file": str(path)}, "test set")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *BROKEN_JSONS.items(),
        (json.dumps({**TRUTH, "annotations": [{"id": 1}]}), r"annotations\[0\] has no 'image_id'"),
    ],
)
def test_an_evaluator_s_json_that_cannot_be_read_is_named(tmp_path, text, message):
    what = "test set: the evaluator InstanceMetric cannot use its ann_file: "
    expected = rf"{what}.*/truth\.json .*{message}"
    with pytest.raises(StageError, match=expected):
        truth_checked(tmp_path / "truth.json", text, {"type": "InstanceMetric"})


def test_the_evaluator_finds_the_values_of_the_file(tmp_path):
    """InstanceMetric converts values; MMDetection's metric does not."""
    path, plain = tmp_path / "truth.json", {"type": "CocoMetric", "metric": "segm"}
    text = {**TRUTH, "images": [{**IMAGE, "height": "8"}]}
    for evaluator in ({"type": "InstanceMetric"}, plain):
        assert truth_checked(path, TRUTH, evaluator) == ""
    assert truth_checked(path, text, {"type": "InstanceMetric"}) == ""
    with pytest.raises(
        StageError, match="test the evaluator CocoMetric, the true objects were given to it"
    ):
        truth_checked(path, text, plain)


@pytest.mark.parametrize(
    ("limit", "score"),
    # Of 144 objects, 72 and 100 are 0.5 and 0.69 of the recall: 51 and 70 of its 101 levels.
    [(72, "0.505"), (100, "0.693"), (144, "")],
)
def test_a_limit_of_detections_lowers_the_score_of_the_truth(tmp_path, limit, score):
    """144 squares of one class in an image; 100 detections an image are COCO's limit."""
    rows = []
    for number in range(1, 145):
        x, y = 16 * (number % 12), 16 * (number // 12)
        corners = [x, y, x + 12, y, x + 12, y + 12, x, y + 12]
        box = {"bbox": [x, y, 12, 12], "area": 144, "segmentation": [corners]}
        rows.append({**ANNOTATION, "id": number, **box})
    content = {**TRUTH, "images": [{**IMAGE, "height": 300, "width": 300}], "annotations": rows}
    evaluator = {"type": "InstanceMetric", "metric": "segm", "max_detections": limit}
    found = truth_checked(tmp_path / "truth.json", content, evaluator)
    expected = (
        "warning: test set: to test the evaluator, the true objects were given to it as "
        f"predictions; the mask AP is {score} instead of 1. Check the evaluator's settings and the "
        "json"
    )
    assert found == (expected if score else "")


def test_a_limit_counts_all_objects_of_an_image_or_those_of_each_class():
    # Of image 1, there are three objects: two of class 1 and one of class 2.
    rows = [{**ANNOTATION, "category_id": number} for number in (1, 1, 2)]
    content = {**TRUTH, "annotations": [*rows, {**ANNOTATION, "image_id": 2}]}
    for per_class, most, of_a_class in ((False, 3, ""), (True, 2, " of one class")):
        expected = (
            f"warning: test set: an image has {most} objects{of_a_class}, but limit allows only "
            f"{most - 1} detections, so some objects cannot be found; raise limit"
        )
        arguments = ("limit", "test set", per_class)
        assert warn_of_many_objects(content, most - 1, *arguments) == expected
        assert warn_of_many_objects(content, most, *arguments) == ""
