"""What a run refuses before it works in vain."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from nbseg.engine.training import set_training_options
from nbseg.errors import StageError
from nbseg.pseudo.predictions import PredictionStore

pytestmark = pytest.mark.usefixtures("one_thread")


def test_unlabeled_images_that_are_labeled_are_refused(finished, tmp_path, make_pipeline):
    run = SimpleNamespace(**{**vars(finished), "work_dir": tmp_path / "run"})
    labeled = f"{finished.work_dir}/splits/instances_train.0@50.json"
    folder = tmp_path / "images"
    folder.mkdir()
    images = json.loads(Path(labeled).read_text())["images"]
    shutil.copy(finished.data / "train" / images[0]["file_name"], folder / "a_copy.png")
    shutil.copy(finished.data / "val" / "000000.png", folder / "another.png")
    changes = {
        "split": None,
        "report": None,
        "labeled_json": labeled,
        "teacher.checkpoint": f"{finished.work_dir}/teacher/teacher.pth",
        "predict.test_dataloader.dataset.type": "ImageFolderDataset",
        "predict.test_dataloader.dataset.data_prefix.img": f"{folder}/",
        "predict.test_dataloader.dataset.ann_file": "",
    }
    message = (
        r"1 image\(s\) of .* also in the labeled set: .*a_copy.png \(the same image as the "
        r"labeled .*"
        rf"{images[0]['file_name']}\)"
    )
    with pytest.raises(StageError, match=message):
        make_pipeline(run, changes, stages=["predict"]).run()
    assert not (run.work_dir / "pseudo_labels").exists()
    make_pipeline(run, {**changes, "allow_overlap": True}, stages=["predict"]).run()
    assert len(list(PredictionStore(run.work_dir / "pseudo_labels" / "predictions"))) == 2


def test_another_models_checkpoint_is_no_teacher(finished, tmp_path, make_pipeline):
    changes = {"teacher.checkpoint": str(finished.work_dir / "student" / "student.pth")}
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    with pytest.raises(ValueError, match="student.pth is not a checkpoint of"):
        make_pipeline(run, changes, stages=["predict"]).run()


def test_what_another_stage_makes_must_be_there(finished, tmp_path, make_pipeline):
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    with pytest.raises(
        FileNotFoundError, match="stage predict: missing input.*teacher.pth.*Run the stage"
    ):
        make_pipeline(run, stages=["predict"]).run()
    with pytest.raises(FileNotFoundError, match="stage student: missing input.*pseudo_labels.json"):
        make_pipeline(run, stages=["student"]).run()


def test_missing_data_is_refused_before_a_stage_starts(finished, tmp_path, make_pipeline):
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    with pytest.raises(StageError, match="there is no annotation file .*nowhere.*data_root"):
        make_pipeline(run, {"data_root": str(tmp_path / "nowhere")}).run()
    with pytest.raises(FileNotFoundError, match="nowhere.*test_dataloader of stage control"):
        make_pipeline(run, {"val_images": str(tmp_path / "nowhere")}).run()
    assert not (run.work_dir / "control").exists()


@pytest.mark.parametrize("options", [{"stages": ["student", "test"]}, {"redo": ["test"]}])
def test_unknown_stages_are_named(finished, make_pipeline, options):
    with pytest.raises(ValueError, match=r"unknown stages \['test'\]; choose among control, "):
        make_pipeline(finished, **options)


def test_options_that_cannot_work_are_refused(finished, make_pipeline):
    with pytest.raises(ValueError, match="auto_scale_lr.base_batch_size must be .* found None"):
        make_pipeline(finished, auto_scale_lr=True)
    for base in (None, 0, "16"):
        scaling = {"auto_scale_lr": {"enable": True, "base_batch_size": base}}
        with pytest.raises(ValueError, match=f"base_batch_size must be a .* found {base!r}; set"):
            make_pipeline(finished, scaling)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="mixed precision needs a GPU, .* remove --amp"):
            make_pipeline(finished, amp=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "torch.bfloat16", "float64"])
def test_precision_without_kernels_is_refused(monkeypatch, dtype):
    wrapper = {"type": "AmpOptimWrapper", "dtype": dtype}
    plain = Config({"optim_wrapper": wrapper, "train_cfg": {"max_iters": 3}})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="needs a GPU, .* or replace AmpOptimWrapper in the conf"):
        set_training_options(plain, amp=False, auto_scale_lr=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match=f"dtype is {dtype}, but .*set .*dtype to float16"):
        set_training_options(plain, amp=False, auto_scale_lr=False)
    plain.optim_wrapper = {"type": "OptimWrapper"}
    set_training_options(plain, amp=True, auto_scale_lr=False)
    assert plain.optim_wrapper == {"type": "AmpOptimWrapper", "loss_scale": "dynamic"}


@pytest.mark.parametrize(("old", "new"), [("supervised", "control"), ("pseudo", "pseudo_labels")])
def test_a_work_directory_of_an_earlier_version_is_refused(
    finished, tmp_path, make_pipeline, old, new
):
    run = SimpleNamespace(**{**vars(finished), "work_dir": tmp_path})
    (tmp_path / old).mkdir()
    (tmp_path / old / f"{old}.manifest.json").write_text("{}")
    with pytest.raises(StageError, match=f"earlier version of nbseg, which named .*{new}"):
        make_pipeline(run)
