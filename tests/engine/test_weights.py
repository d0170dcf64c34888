"""Weights that stages start from: refused before any stage runs."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmdet.models.detectors import SemiBaseDetector
from mmengine.config import Config
from torch import nn

from nbseg.checkpoint import read_checkpoint
from nbseg.engine.stages import stage_config, teacher_checkpoint
from nbseg.engine.task import StageTask
from nbseg.engine.weights import MatchingWeightsHook, check_weights
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def unstarted(finished, tmp_path):
    return SimpleNamespace(**{**vars(finished), "work_dir": tmp_path / "run"})


def changed(finished, tmp_path, change, stage="teacher"):
    """Write a finished stage's checkpoint with other weights, and return its path."""
    content = read_checkpoint(finished.work_dir / stage / f"{stage}.pth")
    path = tmp_path / "changed.pth"
    torch.save({**content, "state_dict": change(dict(content["state_dict"]))}, path)
    return str(path)


def of_eighty_classes(state):
    return {**state, "roi_head.bbox_head.fc_cls.weight": torch.zeros(81, 32)}


def with_nan(state):
    return {**state, "neck.lateral_convs.0.conv.weight": torch.full((16, 8, 1, 1), float("nan"))}


def of_detectron2(state):
    return {f"backbone.bottom_up.{name}": value for name, value in state.items()}


def of_tensorflow(state):
    return {name.replace(".", "/"): value for name, value in state.items()}


@pytest.fixture(scope="module")
def tiny(finished):
    return Config.fromfile(finished.config)


def task(tiny, run, stage, changes):
    """Return a stage of the tiny config with some keys changed."""
    config = copy.deepcopy(tiny)
    config.merge_from_dict(changes)
    work_dir = WorkDir(run.work_dir)
    plain = stage_config(config, stage, work_dir)
    return StageTask(stage, plain, work_dir, teacher_checkpoint(config, work_dir))


REFUSED = {
    "other classes": (
        of_eighty_classes,
        r"fc_cls.weight is \(81, 32\) in the file, but \(6, 32\) in the model. So the checkpoint "
        "was trained with another number of classes",
    ),
    "diverged": (with_nan, "NaN or infinite weights in 1 of .*lateral_convs.0.conv.weight"),
    "other library": (of_detectron2, "The model has no tensor for .*backbone.bottom_up"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_own_teacher_that_does_not_fit_is_refused(finished, tiny, tmp_path, case):
    change, message = REFUSED[case]
    own = {"teacher.checkpoint": changed(finished, tmp_path, change)}
    with pytest.raises(StageError, match=f"changed.pth .*{message}"):
        check_weights([task(tiny, finished, "predict", own)])


def test_weights_to_start_from_are_compared(finished, tiny, tmp_path, monkeypatch):
    file = changed(finished, tmp_path, of_tensorflow)
    with pytest.raises(StageError, match="changed.pth does not fit the model: 0 of the model's "):
        check_weights([task(tiny, finished, "student", {"load_from": file})])
    made = {"load_from": str(finished.work_dir / "teacher" / "teacher.pth")}
    check_weights([task(tiny, finished, "student", made)])
    monkeypatch.setenv("HOME", str(finished.work_dir))
    check_weights([task(tiny, finished, "student", {"load_from": "~/teacher/teacher.pth"})])
    backbone = {"_delete_": True, "type": "ResNet", "depth": 18, "base_channels": 8}
    backbone |= {"stem_channels": 8, "init_cfg": {"type": "Pretrained", "checkpoint": file}}
    with pytest.raises(StageError, match="changed.pth does not fit the ResNet: 0 of"):
        check_weights([task(tiny, finished, "control", {"model.backbone": backbone})])


def test_weights_are_compared_before_any_stage_starts(finished, tmp_path, train):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    work_dir = tmp_path / "run"
    with pytest.raises(SystemExit) as refusal:
        train(
            finished.config,
            *("--work-dir", work_dir, "--cfg-options"),
            f"teacher.checkpoint={tmp_path}/cut.pth",
        )
    expected = f"train.py: {tmp_path}/cut.pth cannot be loaded: it is truncated or damaged"
    assert str(refusal.value).startswith(expected)
    assert not (work_dir / "control").exists()


def test_a_detector_with_a_prefix_and_other_classes_is_started_from(
    finished, unstarted, tmp_path, make_pipeline
):
    file = changed(
        finished,
        tmp_path,
        lambda state: {f"module.{k}": v for k, v in of_eighty_classes(state).items()},
    )
    frozen = {"teacher.optim_wrapper.optimizer.lr": 0.0, "teacher.load_from": file}
    make_pipeline(unstarted, frozen, stages=["teacher"]).run()
    started, trained = (
        read_checkpoint(run.work_dir / "teacher" / "teacher.pth")["state_dict"]
        for run in (finished, unstarted)
    )
    own = "roi_head.bbox_head.fc_cls.weight"
    same = [k for k, v in started.items() if "running" not in k and torch.equal(v, trained[k])]
    assert {k for k in started if "running" not in k and "tracked" not in k} - set(same) == {own}


def test_a_checkpoint_of_another_model_is_not_resumed():
    model, checkpoint = nn.Linear(2, 3), {"state_dict": nn.Linear(2, 4).state_dict()}
    runner = SimpleNamespace(model=model, _resume=True, _load_from="iter_1.pth")
    refusal = "iter_1.pth is not a checkpoint of .*2 of the model's 2 tensors"
    with pytest.raises(StageError, match=refusal):
        MatchingWeightsHook().after_load_checkpoint(runner, checkpoint)
    MatchingWeightsHook().after_load_checkpoint(runner, {"state_dict": model.state_dict()})


class Both(SemiBaseDetector):
    def __init__(self):
        nn.Module.__init__(self)
        self.student, self.teacher = (nn.Sequential(nn.Linear(2, 3)) for _ in range(2))


@pytest.mark.parametrize("part", ["", "student"])
def test_a_teacher_and_a_student_start_from_both_or_from_a_plain_detector(part):
    model = Both()
    state = model.get_submodule(part).state_dict()
    checkpoint = {"state_dict": dict(state)}
    runner = SimpleNamespace(model=model, _load_from="both.pth", _resume=False)
    MatchingWeightsHook().after_load_checkpoint(runner, checkpoint)
    assert set(checkpoint["state_dict"]) == set(state)
