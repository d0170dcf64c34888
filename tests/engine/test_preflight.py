"""What is wrong with data and configs is named before the first training."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from tiny_config import write_tiny_config

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.deploy.coco_predictions import CocoPredictions
from nbseg.deploy.detections import Detections
from nbseg.engine.data_sets import leaves
from nbseg.errors import StageError
from nbseg.images import read_image
from nbseg.registry import DATASETS


@pytest.fixture(scope="module")
def sound(tmp_path_factory, repository):
    """The config and the folder of a sound set."""
    folder = tmp_path_factory.mktemp("sound")
    generate_shapes(folder / "shapes", ShapesOptions(size=64, train=6, val=2))
    write_tiny_config(folder / "tiny.py", repository, folder / "shapes")
    return folder / "tiny.py", folder / "shapes"


@pytest.fixture
def run(tmp_path, sound):
    """A set of its own, to be changed; no stage runs."""
    config, original = sound
    data = shutil.copytree(original, tmp_path / "shapes")
    return SimpleNamespace(
        config=config, data=data, work_dir=tmp_path / "run", changes={"data_root": str(data)}
    )


def _change(run, name, change):
    path = run.data / "annotations" / f"instances_{name}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _each(table, **values):
    return lambda content: [row.update(values) for row in content[table]]


def test_a_sound_set_has_a_plan_and_no_warning_but_of_absent_classes(run, make_pipeline):
    plan = make_pipeline(run).prepare()
    assert [line for line in plan if line.startswith("[student] would start")]
    assert any(line.startswith("test set ") and ": 2 images" in line for line in plan)
    warnings = [line for line in plan if line.startswith("warning")]
    assert all("there is no object of" in line for line in warnings), warnings
    assert not (run.work_dir / "control").exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train", _each("annotations", iscrowd=1), "are crowds .iscrowd 1.*CVAT and datumaro"),
        ("train", _each("annotations", ignore=1), "are ignored"),
        ("train", _each("annotations", segmentation=[]), "are without a mask"),
        ("train", lambda c: c["annotations"].clear(), "there is no object.*seed or percent"),
        ("train", lambda c: c["categories"][0].update(name="Star"), "Star.*classes"),
        ("train", _each("annotations", bbox=[1, 2, 3]), "boxes that are not four numbers"),
        ("train", _each("images", height="tall"), "height 'tall'; expected a whole number"),
        ("train", _each("images", height=65), "images whose size differs from the json"),
        ("val", _each("images", width=65), "images whose size differs from the json"),
        ("val", _each("annotations", segmentation=[]), "has no mask"),
        (
            "val",
            lambda c: c["annotations"][1].update(segmentation=[[]]),
            "annotation 2 of .*val.json has no mask",
        ),
        (
            "val",
            lambda c: c["annotations"][2].update(segmentation=[[1, 1, 9, 9]]),
            "annotation 3 of .*val.json has no mask .polygons need three points",
        ),
        ("val", lambda c: c["images"][0].update(file_name="a\\b.png"), "backslashes"),
        (
            "val",
            lambda c: c["images"][0].update(file_name="000000.PNG"),
            "the folder has 000000.png, which differs only in case",
        ),
    ],
)
def test_a_json_that_cannot_work_is_refused(run, make_pipeline, name, change, message):
    _change(run, name, change)
    with pytest.raises(StageError, match=f"(?s){message}"):
        make_pipeline(run).prepare()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"iscrowd": 1}, "crowds (iscrowd 1)"),
        ({"ignore": 1}, "ignored (ignore 1)"),
        ({"segmentation": [[1, 1, 9, 9]]}, "without a mask"),
    ],
)
def test_objects_that_are_not_trained_on_are_counted(run, make_pipeline, values, reason):
    """Brushes among polygons: CVAT exports every brushed object as a crowd."""
    _change(run, "train", lambda c: [row.update(values) for row in c["annotations"][::2]])
    plan = make_pipeline(run).prepare()
    path = run.work_dir / "splits" / "instances_train.0@50.json"
    rows = json.loads(path.read_text())["annotations"]
    changed = sum(all(row.get(key) == value for key, value in values.items()) for row in rows)
    assert 0 < changed < len(rows)
    assert f"training set {path}: 3 images, {len(rows) - changed} objects to train on" in plan
    expected = f"training leaves out objects: {changed} are {reason}"
    assert f"warning: training set {path}: {expected}" in plan


@pytest.mark.parametrize(
    ("folder", "number", "role"),
    [("val", 1, "test"), ("train", 0, "unlabeled"), ("train", 5, "training")],
)
def test_a_missing_image_is_refused(run, make_pipeline, folder, number, role):
    (run.data / folder / f"00000{number}.png").unlink()
    message = f"{role} set .*: 1 of . images are missing.*00000{number}.png"
    with pytest.raises(StageError, match=message):
        make_pipeline(run).prepare()


def test_a_broken_image_is_refused_or_if_unlabeled_warned_of(run, make_pipeline):
    pipeline = make_pipeline(run)
    pipeline.prepare()
    split = run.work_dir / "splits" / "instances_train.0@50-unlabeled.json"
    name = json.loads(split.read_text())["images"][0]["file_name"]
    path = run.data / "train" / name
    path.write_bytes(path.read_bytes()[:200])
    assert any("cannot be decoded" in line and name in line for line in pipeline.prepare())
    path = run.data / "val" / "000000.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StageError, match="cannot be decoded.*000000.png"):
        pipeline.prepare()


def test_wrong_data_are_named_before_modules_are_imported(run, make_pipeline, monkeypatch):
    def no_import(config):
        pytest.fail("importing all components takes seconds")

    monkeypatch.setattr("nbseg.engine.preflight.run.import_custom_modules", no_import)
    with pytest.raises(StageError, match=r"the classes \['nothing'\] are not among the json's"):
        make_pipeline(run, {"classes": ["nothing"], "num_classes": 1}).prepare()
    (run.data / "annotations" / "instances_val.json").unlink()
    with pytest.raises(FileNotFoundError, match="instances_val.json"):
        make_pipeline(run).prepare()


def test_a_new_process_checks_sound_data(run, repository):
    """No module of nbseg's components is imported yet, unlike in the process of the tests."""
    command = [sys.executable, repository / "tools" / "train.py", run.config, "--dry-run"]
    command += ["--work-dir", run.work_dir, "--cfg-options", f"data_root={run.data}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "[student] would start" in done.stdout


@pytest.mark.parametrize("number", [3, 7])
def test_num_classes_must_be_the_number_of_classes(run, make_pipeline, number):
    with pytest.raises(StageError, match=f"num_classes is {number}, .* set num_classes=5"):
        make_pipeline(run, {"num_classes": number}).prepare()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["categories"].reverse(),
        lambda c: [i.update(height=64.0, width="64") for i in c["images"]],
        lambda c: (
            [i.update(id=f"i{i['id']}") for i in c["images"]]
            + [a.update(image_id=f"i{a['image_id']}") for a in c["annotations"]]
        ),
        lambda c: [a.update(iscrowd=None) for a in c["annotations"]],
        lambda c: [a.pop("area") for a in c["annotations"]],
    ],
)
def test_a_val_json_of_other_order_and_values_works(run, make_pipeline, change):
    expected = make_pipeline(run).prepare()
    _change(run, "val", change)
    assert make_pipeline(run).prepare() == expected


@pytest.mark.parametrize(
    ("name", "stage", "key", "role"),
    [
        ("train", "teacher", "labeled_dataset", "training set .*@50.json"),
        ("train", "oracle", "pseudo_dataset", "training set .*-unlabeled.json"),
        ("train", "student", "pseudo_dataset", "training set .*/own.json"),
        ("val", "teacher", "val_dataset", "test set .*_val.json"),
    ],
)
def test_a_plain_coco_dataset_of_another_order_is_refused(
    run, make_pipeline, name, stage, key, role
):
    """Of labeled, hidden, pseudo- and validation labels, whoever made them."""
    _change(run, name, lambda c: c["categories"].reverse())
    own = run.data / "own.json"
    shutil.copy(run.data / "annotations" / "instances_train.json", own)
    changes = {"load_from": None, "label.ann_file": str(own)}
    make_pipeline(run, changes, stages=[stage]).prepare()
    names = r"\['leaf', 'cross', 'crescent', 'gear', 'star'\]"
    with pytest.raises(StageError, match=f"{role}.*categories are {names}.*CocoInstanceDataset'"):
        make_pipeline(run, {**changes, f"{key}.type": "CocoDataset"}, stages=[stage]).prepare()


def test_more_objects_than_a_limit_are_warned_of(run, make_pipeline):
    plan = make_pipeline(run, {"val_evaluator.max_detections": 1}).prepare()
    assert any("but max_detections allows only 1 detections" in line for line in plan)
    assert any("given to it as predictions; the mask AP" in line for line in plan)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_workers": 0, "persistent_workers": True},
        {"num_workers": 0, "train_dataloader.prefetch_factor": 2},
        {"num_workers": 0, "persistent_workers": True, "val_dataloader.prefetch_factor": 4},
        {"train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": True},
    ],
)
def test_no_workers_need_no_other_key(run, make_pipeline, changes):
    for config in make_pipeline(run, changes).configs.values():
        for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
            loader = config.get(key) or {"num_workers": 0}
            assert loader["num_workers"] == 0
            assert not {"persistent_workers", "prefetch_factor"} & set(loader)


def test_more_objects_than_the_model_finds_are_warned_of(run, make_pipeline):
    path = run.data / "annotations" / "instances_val.json"
    counts = Counter(a["image_id"] for a in json.loads(path.read_text())["annotations"])
    most = max(counts.values())
    for limit in (1, most - 1, most):
        plan = make_pipeline(run, {"model.test_cfg.rcnn.max_per_img": limit}).prepare()
        limited = f"max_per_img allows only {limit} detections, so "
        expected = f"test set {path}: an image has {most} objects, but {limited}"
        assert any(expected in line for line in plan) == (limit < most)


def without_area(content):
    for row in content["annotations"]:
        del row["area"], row["iscrowd"]


@pytest.mark.parametrize(
    "change",
    [lambda content: None, without_area, lambda content: content["categories"].reverse()],
)
def test_what_infer_writes_is_a_set_of_pseudo_labels(run, make_pipeline, change):
    """The json of tools/infer.py: a class per image, found by name."""
    names = ["star", "leaf", "cross"]
    predictions = CocoPredictions(names)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 5:45] = 1
    rle = coco_mask.encode(np.asfortranarray(mask))
    boxes, scores = np.array([[5, 10, 45, 30]], np.float32), np.array([0.9], np.float32)
    files = sorted((run.data / "train").glob("*.png"))[3:]
    for label, file in enumerate(files):
        found = Detections(boxes, scores, np.array([label]), [rle])
        predictions.add(read_image(file), found, 0.0, file_name=str(file))
    content = json.loads(json.dumps(vars(predictions)))
    change(content)
    path = run.work_dir.parent / "predictions.json"
    path.write_text(json.dumps(content))
    changes = {"label.ann_file": str(path), "load_from": None}
    pipeline = make_pipeline(run, changes, stages=["student"])
    assert f"training set {path}: 3 images, 3 objects to train on" in pipeline.prepare()
    (leaf,) = (
        leaf
        for leaf in leaves(pipeline.configs["student"].train_dataloader.dataset)
        if leaf["ann_file"] == str(path)
    )
    dataset = DATASETS.build({**leaf, "pipeline": [], "test_mode": True, "serialize_data": False})
    classes = dataset.metainfo["classes"]
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [
        (info["img_path"], [classes[i["bbox_label"]] for i in info["instances"]]) for info in infos
    ] == [(str(file), [name]) for file, name in zip(files, names, strict=True)]
    assert [i["bbox"] for info in infos for i in info["instances"]] == [[5, 10, 45, 30]] * 3
