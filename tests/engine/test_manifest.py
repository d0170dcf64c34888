"""What a stage's record notices and what it does not."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from nbseg.engine.manifest import Manifest, relevant_keys
from nbseg.files import file_hash

KEYS = ("model", "train_dataloader", "optim_wrapper", "load_from", "param_scheduler")


def config(work_dir="/runs/a", **changes):
    made = Config(
        {
            "model": {"type": "MaskRCNN", "sizes": (1, 2), "heads": [{"a": 1}, {"a": 2}]},
            "train_dataloader": {
                "batch_size": 4,
                "num_workers": 2,
                "persistent_workers": True,
                "dataset": {"ann_file": f"{work_dir}/splits/x.json"},
            },
            "optim_wrapper": {"optimizer": {"lr": 0.1}},
            "load_from": f"{work_dir}/teacher/teacher.pth",
            "param_scheduler": [{"type": "LinearLR", "end": 50}],
            "log_level": "INFO",
        }
    )
    made.merge_from_dict(changes)
    return made


def keys(work_dir="/runs/a", **changes):
    return relevant_keys(config(work_dir, **changes), KEYS, Path(work_dir))


@pytest.fixture
def manifest(tmp_path):
    started = Manifest(tmp_path / "teacher" / "teacher.manifest.json")
    started.start("teacher", keys(), {})
    return started


def reread(manifest):
    return Manifest(manifest.path)


def test_a_stage_starts_and_finishes(tmp_path):
    path = tmp_path / "teacher" / "teacher.manifest.json"
    assert not Manifest(path).started and not Manifest(path).finished
    manifest = Manifest(path)
    manifest.start("teacher", keys(), {})
    assert Manifest(path).started and not Manifest(path).finished
    manifest.finish(metrics={"segm_mAP": 1 / 3})
    assert Manifest(path).finished
    assert Manifest(path).content["metrics"] == {"segm_mAP": 1 / 3}
    assert json.loads(path.read_text())["stage"] == "teacher"
    assert list(path.parent.iterdir()) == [path]
    Manifest(path).start("teacher", keys(), {})
    assert not Manifest(path).finished and "metrics" not in Manifest(path).content


def test_the_same_keys_are_no_change(manifest):
    assert reread(manifest).changes(keys()) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"optim_wrapper.optimizer.lr": 0.2},
            "optim_wrapper.optimizer.lr: was 0.1, is 0.2",
        ),
        ({"model.heads.1.a": 3}, "model.heads.1.a: was 2, is 3"),
        ({"model.sizes": (1, 3)}, "model.sizes: was [1, 2], is [1, 3]"),
        ({"model.new": None}, "model.new: was not set, is None"),
        ({"param_scheduler.0.end": 60}, "param_scheduler.0.end: was 50, is 60"),
        ({"load_from": None}, "load_from: was '{work_dir}/teacher/teacher.pth', is None"),
    ],
)
def test_changed_keys_are_named(manifest, change, line):
    assert reread(manifest).changes(keys(**change)) == [line]


def test_removed_keys_are_named(manifest):
    without = config()
    del without.model["heads"]
    changes = reread(manifest).changes(relevant_keys(without, KEYS, Path("/runs/a")))
    assert changes == [
        "model.heads.0.a: was 1, is not set",
        "model.heads.1.a: was 2, is not set",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"train_dataloader.num_workers": 8},
        {"train_dataloader.persistent_workers": False},
        {"train_dataloader.pin_memory": True},
        {"log_level": "DEBUG"},
        {"default_hooks": {"logger": {"interval": 1}}},
    ],
)
def test_what_changes_no_result_is_not_a_change(manifest, change):
    assert reread(manifest).changes(keys(**change)) == []


def test_a_moved_folder_still_matches(manifest):
    assert reread(manifest).changes(keys("/other/place/b")) == []


def test_only_paths_are_taken_for_the_work_directory(tmp_path):
    # A short name is part of many a word: here of "run" in "trunk".
    before = relevant_keys(Config({"model": "trunk", "load_from": "run/t.pth"}), KEYS, Path("run"))
    after = relevant_keys(Config({"model": "trunk", "load_from": "b/t.pth"}), KEYS, Path("b"))
    manifest = Manifest(tmp_path / "x.manifest.json")
    manifest.start("teacher", before, {})
    assert reread(manifest).changes(after) == []


def test_changed_inputs_are_named(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text("1")
    second.write_text("2")
    inputs = {"annotations 0": first, "annotations 1": second}
    manifest = Manifest(tmp_path / "student" / "student.manifest.json")
    manifest.start("student", {}, inputs)
    assert reread(manifest).changed_inputs(inputs) == []

    copy = tmp_path / "moved.json"
    copy.write_text("1")
    assert reread(manifest).changed_inputs({**inputs, "annotations 0": copy}) == []
    second.write_text("3")
    assert reread(manifest).changed_inputs(inputs) == [f"annotations 1 ({second})"]
    second.unlink()
    assert reread(manifest).changed_inputs(inputs) == [f"annotations 1 ({second})"]
    assert reread(manifest).changed_inputs({"teacher checkpoint": first}) == [
        f"teacher checkpoint ({first})"
    ]


def test_the_hash_is_sha256(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
