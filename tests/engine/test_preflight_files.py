"""Check that missing files, broken images and unfit settings are refused before any stage."""

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
from nbseg.engine.preflight.label import check_labeled, check_thresholds
from nbseg.engine.preflight.model import check_num_classes
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
    with pytest.raises(ValueError, match=f"with batch_size {size} and source_ratio"):
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
        with pytest.raises(StageError, match=r"add the categories \['cow'\]"):
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
        f"{broken.name}. The run continues; to avoid this warning, replace these images",
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
