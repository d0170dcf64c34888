"""What is refused before any stage runs."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

import nbseg.register  # noqa: F401
from nbseg.engine.config_checks import check_batches
from nbseg.engine.data_sets import annotation_files
from nbseg.engine.preflight.files import check_files
from nbseg.engine.preflight.images import check_folder, check_images
from nbseg.engine.preflight.jsons import check_annotations
from nbseg.engine.preflight.label import check_labeled, check_thresholds
from nbseg.engine.preflight.model import check_num_classes, warn_of_many_objects
from nbseg.engine.preflight.overlap import check_overlap
from nbseg.engine.preflight.truth import check_truth
from nbseg.engine.task import StageTask
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError


def test_annotation_files_of_wrapped_data_sets():
    one = dict(type="CocoDataset", data_root="root", ann_file="a.json")
    two = dict(type="CocoDataset", ann_file="b.json")
    folder = dict(type="ImageFolderDataset", ann_file="", data_prefix=dict(img="images"))
    nested = dict(
        type="ConcatDataset", datasets=[dict(type="RepeatDataset", dataset=one), two, folder]
    )
    assert [str(path) for path in annotation_files(nested)] == ["root/a.json", "b.json"]


def test_absent_data_is_named_and_what_stages_make_is_not(tmp_path):
    work_dir = WorkDir(tmp_path / "run")

    def task(stage, path):
        dataset = dict(ann_file=str(path), data_prefix=dict(img=str(tmp_path)))
        config = dict(train_dataloader=dict(dataset=dataset), label=dict(labeled_json=str(path)))
        return StageTask(stage, Config(config), work_dir, work_dir.checkpoint("teacher"))

    here = tmp_path / "labeled.json"
    here.write_text("{}")
    work_dir.folder("predict").mkdir(parents=True)
    work_dir.manifest("predict").write_text("{}")
    label, student = task("label", here), task("student", work_dir.pseudo_labels)
    check_files([label, student])
    with pytest.raises(FileNotFoundError, match=r"stage student: missing .*pseudo_labels\.json"):
        check_files([student])
    with pytest.raises(FileNotFoundError, match=r"absent\.json \(train_dataloader of stage"):
        check_files([task("teacher", tmp_path / "absent.json")])


@pytest.mark.parametrize(("size", "ratio"), [(1, [1, 1]), (2, [2, 1]), (3, [1, 3, 1])])
def test_a_batch_without_an_image_of_each_source_is_refused(size, ratio):
    sampler = dict(type="MultiSourceSampler", batch_size=size, source_ratio=ratio)
    with pytest.raises(ValueError, match=f"a batch of {size} at source_ratio"):
        check_batches("student", Config(dict(train_dataloader=dict(sampler=sampler))))


@pytest.mark.parametrize(("size", "ratio"), [(2, [1, 1]), (3, [2, 1]), (4, [1, 3])])
def test_a_batch_with_an_image_of_each_source_is_accepted(size, ratio):
    sampler = dict(type="MultiSourceSampler", batch_size=size, source_ratio=ratio)
    check_batches("student", Config(dict(train_dataloader=dict(sampler=sampler))))


def test_other_classes_are_refused(tmp_path):
    path = tmp_path / "labeled.json"
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    absent = str(tmp_path / "absent.json")
    for found, given in ((path, None), (absent, categories)):
        for classes in (["cat", "dog"], ["dog", "cat"]):
            check_labeled({"labeled_json": str(found), "classes": classes}, given)
        with pytest.raises(StageError, match="add the missing categories"):
            check_labeled({"labeled_json": str(found), "classes": ["cat", "cow"]}, given)


def test_thresholds_that_are_no_numbers_are_refused():
    fixed = {"classes": ["cat", "dog"], "pixel_threshold": 0.5}
    check_thresholds({**fixed, "box_threshold": 0.7})
    for wrong in ({"box_threshold": "mtach"}, {"pixel_threshold": "mtach"}):
        with pytest.raises(StageError, match="must be \"match\".* found 'mtach'"):
            check_thresholds({**fixed, **wrong})


@pytest.mark.parametrize("position", [0, 77, 149])
def test_one_broken_image_among_many_is_found(tmp_path, position):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    for number in range(150):
        (tmp_path / f"{number:03d}.png").write_bytes(content)
    broken = tmp_path / f"{position:03d}.png"
    broken.write_bytes(content[:200])
    lines = check_folder(tmp_path, "unlabeled set")
    assert lines == [
        "unlabeled set: 150 images",
        f"warning: unlabeled set: 1 images that cannot be decoded in {tmp_path}, the first: "
        f"{broken.name}",
    ]


def save_frames(path, pixels):
    frame = Image.fromarray(pixels)
    frame.save(path, save_all=True, append_images=[Image.fromarray(255 - pixels)])


BITS = "1 images have 16 bits per channel, of which only the upper 8 are read"
FRAMES = "1 images have several frames or pages, of which only the first is read"
DEEP = np.full((8, 9), 60_000, np.uint16)
READ_IN_PART = {
    "gray.png": (lambda path: cv2.imwrite(path, DEEP), BITS),
    "gray.tif": (lambda path: cv2.imwrite(path, DEEP), BITS),
    "colors.png": (lambda path: cv2.imwrite(path, np.dstack([DEEP] * 3)), BITS),
    "frames.gif": (lambda path: save_frames(path, np.eye(8, 9, dtype=np.uint8)), FRAMES),
    "8 bits.png": (lambda path: cv2.imwrite(path, np.eye(8, 9, dtype=np.uint8)), ""),
}


@pytest.mark.parametrize("name", READ_IN_PART)
@pytest.mark.parametrize("lenient", [True, False])
def test_images_that_are_read_in_part_are_warned_of(tmp_path, name, lenient):
    write, note = READ_IN_PART[name]
    write(str(tmp_path / name))
    cv2.imwrite(str(tmp_path / "sound.png"), np.eye(8, 9, dtype=np.uint8))
    images = [{"id": 1, "file_name": n, "height": 8, "width": 9} for n in ("sound.png", name)]
    expected = f"warning: training set: {note}" if note else ""
    assert check_images(images, tmp_path, "training set", lenient) == expected
    if lenient:
        (tmp_path / "sound.png").write_bytes(b"broken")
        broken, *notes = check_images(images, tmp_path, "training set", lenient).split("\n")
        assert "1 images that cannot be read" in broken and notes == ([expected] if note else [])


def test_sound_headers_do_not_excuse_broken_bodies(tmp_path):
    """200 images are decoded, none is sound, and the headers of 210 are."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    names = [f"{number:03d}.png" for number in range(210)]
    for name in names:
        (tmp_path / name).write_bytes(content[:200])
    images = [{"id": 1, "file_name": name, "height": 20, "width": 30} for name in names]
    with pytest.raises(StageError, match="200 images that cannot be decoded"):
        check_images(images, tmp_path, "unlabeled set", lenient=True)
    for name in names[:50]:
        (tmp_path / name).write_bytes(content)
    warning = check_images(images, tmp_path, "unlabeled set", lenient=True)
    assert warning.startswith("warning: unlabeled set: ")


def test_one_loose_box_is_not_a_set_of_corners():
    """A box that is too large by 3 pixels near (0, 0) equals the two corners of its mask."""
    polygon = [3, 3, 40, 3, 40, 40, 3, 40]
    row = {"image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1369, "segmentation": [polygon]}
    rows = [{**row, "id": number, "bbox": [3, 3, 37, 37]} for number in (1, 2)]
    loose = [{**row, "id": number, "bbox": [3, 3, 40, 40]} for number in (3, 4)]
    content = {"images": [{"id": 1, "file_name": "a.png", "height": 480, "width": 640}]}
    (warning,) = check_annotations({**content, "annotations": rows + loose[:1]}, "training set")
    assert warning.startswith("warning: training set: 1 boxes of two corners")
    with pytest.raises(StageError, match="2 boxes of two corners.* x, y, width, height"):
        check_annotations({**content, "annotations": rows[:1] + loose}, "training set")


@pytest.fixture
def compare(tmp_path):
    """Compare labeled images, of a json with the given text, with unlabeled ones."""
    (tmp_path / "a.png").write_bytes(b"content")
    (tmp_path / "labeled.json").write_text("")
    (tmp_path / "unlabeled.json").write_text(json.dumps({"images": [IMAGE]}))

    def leaf(name, **more):
        names = {"ann_file": f"{name}.json", "data_root": str(tmp_path), "data_prefix": {"img": ""}}
        return Config({"dataset": {"type": "CocoInstanceDataset", **names, **more}})

    def run(text, **more):
        (tmp_path / "labeled.json").write_text(text)
        teacher, predict = leaf("labeled", **more), leaf("unlabeled")
        check_overlap(Config({"train_dataloader": teacher}), Config({"test_dataloader": predict}))

    return run


IMAGE = {"id": 1, "file_name": "a.png", "height": 8, "width": 8}
BROKEN_JSONS = {
    "": "is not a json file",
    '{"images": [{"id": 1': "is not a json file",
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
    with pytest.raises(StageError, match=r"1 unlabeled images are also labeled: .*a\.png\. Remove"):
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
    what = "test set: the ann_file of the evaluator InstanceMetric is refused: "
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
    with pytest.raises(StageError, match="evaluator CocoMetric fails with the true objects as pre"):
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
        f"warning: test set: with the true objects as predictions, the mask AP is {score} instead "
        "of 1; check the evaluator's settings and the json"
    )
    assert found == (expected if score else "")


def test_a_limit_counts_all_objects_of_an_image_or_those_of_each_class():
    # Of image 1, there are three objects: two of class 1 and one of class 2.
    rows = [{**ANNOTATION, "category_id": number} for number in (1, 1, 2)]
    content = {**TRUTH, "annotations": [*rows, {**ANNOTATION, "image_id": 2}]}
    for per_class, most, of_a_class in ((False, 3, ""), (True, 2, " of a class")):
        expected = (
            f"warning: test set: an image has {most} objects{of_a_class}, but limit is {most - 1}, "
            "so some of them cannot be found; raise limit"
        )
        arguments = ("limit", "test set", per_class)
        assert warn_of_many_objects(content, most - 1, *arguments) == expected
        assert warn_of_many_objects(content, most, *arguments) == ""


HEADS = {
    "bbox_head.num_classes": {"bbox_head": {"num_classes": 7}, "mask_head": {"num_classes": 2}},
    "mask_head.num_classes": {"bbox_head": {"num_classes": 2}, "mask_head": {"num_classes": 80}},
    "bbox_head.1.num_classes": {"bbox_head": [{"num_classes": 2}, {"num_classes": 1}]},
}


@pytest.mark.parametrize("path", HEADS)
def test_each_head_must_have_the_number_of_classes(path):
    model = {"rpn_head": {"num_classes": 1}, "backbone": {"num_classes": 1000}}
    sound = {"bbox_head": [{"num_classes": 2}] * 3, "mask_head": {"num_classes": 2}}
    check_num_classes({**model, "roi_head": sound}, ["cat", "dog"], "student")
    message = rf"stage student: model\.roi_head\.{path} is .*2 classes; set num_classes=2"
    with pytest.raises(StageError, match=message):
        check_num_classes({**model, "roi_head": HEADS[path]}, ["cat", "dog"], "student")
