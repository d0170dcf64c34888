"""A loss that is NaN or infinite stops the training, and the batch is kept."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData
from run_records import manifest

import nbseg.engine.non_finite_loss as module
from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.engine.non_finite_loss import NonFiniteLossHook
from nbseg.errors import StageError

pytestmark = pytest.mark.usefixtures("one_thread")
NAN, INF = float("nan"), float("inf")


def batch(*names):
    """A batch as MMDetection's data loaders make it, with one object an image."""
    samples = []
    for name in names:
        sample = DetDataSample(metainfo={"img_path": name, "img_shape": (4, 6)})
        sample.gt_instances = InstanceData(
            bboxes=HorizontalBoxes(torch.tensor([[0.0, 1.0, 3.0, 4.0]])),
            labels=torch.tensor([2]),
            masks=CroppedBitmapMasks.from_bitmaps(np.eye(4, 6, dtype=np.uint8)[None]),
        )
        samples.append(sample)
    return {"inputs": [torch.full((3, 4, 6), 7, dtype=torch.uint8)] * 2, "data_samples": samples}


def losses(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


@pytest.fixture
def runner(tmp_path):
    return SimpleNamespace(iter=4, work_dir=str(tmp_path))


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_the_loss_the_iteration_and_the_images_are_named(runner, tmp_path, value):
    hook = NonFiniteLossHook()
    hook.after_train_iter(runner, 4, batch("ok.png"), losses(loss=1.0, loss_cls=1.0, acc=NAN))
    runner.iter = 5
    found = losses(loss=value, loss_cls=0.5, loss_bbox=value, acc=12.0)
    message = f"diverged: loss_bbox is {value} in iteration 6 of process 0, .* a/b.png, c.png. The"
    with pytest.raises(StageError, match=message):
        hook.after_train_iter(runner, 5, batch("a/b.png", "c.png"), found)
    (file,) = tmp_path.iterdir()
    saved = torch.load(file, weights_only=True)
    assert saved["iteration"] == 6
    assert saved["losses"]["loss_cls"] == 0.5 and saved["losses"].keys() == found.keys() - {"acc"}
    assert saved["batch"]["inputs"][1].unique().tolist() == [7]
    target = saved["batch"]["data_samples"][1]
    assert target["img_path"] == "c.png" and target["img_shape"] == [4, 6]
    assert target["gt_instances"]["bboxes"].tolist() == [[0, 1, 3, 4]]
    assert target["gt_instances"]["labels"].tolist() == [2]
    assert target["gt_instances"]["masks"].tolist() == np.eye(4, 6)[None].tolist()


def test_on_a_gpu_the_values_are_checked_without_waiting(runner, monkeypatch):
    """The copy of an iteration is waited for after the next one, and before a checkpoint."""
    waited = []
    event = SimpleNamespace(synchronize=lambda: waited.append(True))
    monkeypatch.setattr(module, "_copy_to_host", lambda values: (values, event))
    steps = {
        "next iteration": lambda hook: hook.after_train_iter(runner, 5, None, losses(loss=1.0)),
        "checkpoint": lambda hook: hook.before_save_checkpoint(runner, {"state_dict": {}}),
        "end": lambda hook: hook.after_train(runner),
    }
    for step in steps.values():
        hook = NonFiniteLossHook()
        waited.clear()
        hook.after_train_iter(runner, 4, batch("bad.png"), losses(loss=NAN))
        assert not waited
        runner.iter = 5
        with pytest.raises(StageError, match="loss is nan in iteration 5 of .* bad.png"):
            step(hook)
        assert waited
        runner.iter = 4


@pytest.mark.parametrize("key", ["state_dict", "ema_state_dict"])
def test_weights_that_are_not_finite_are_not_saved(runner, key):
    hook = NonFiniteLossHook()
    hook.after_train_iter(runner, 4, batch("ok.png"), losses(loss=1.0))
    good = {"state_dict": {"a": torch.ones(2), "steps": torch.tensor(3)}}
    hook.before_save_checkpoint(runner, good)
    with pytest.raises(StageError, match="NaN or infinite weights in 1 of 1 tensors, such as a"):
        hook.before_save_checkpoint(runner, {**good, key: {"a": torch.tensor([1, INF])}})


def test_a_diverging_training_stops_and_publishes_nothing(finished, tmp_path, make_pipeline):
    run = SimpleNamespace(**{**vars(finished), "work_dir": tmp_path / "run"})
    diverging = {
        "teacher.optim_wrapper.optimizer.lr": 1e30,
        "teacher.optim_wrapper.clip_grad": None,
    }
    message = r"diverged: loss_.* is (nan|inf) in iteration 2 of process 0, .*train/00000\d.png, "
    with pytest.raises(StageError, match=message):
        make_pipeline(run, diverging, stages=["teacher", "predict"]).run()
    assert not manifest(run, "teacher").finished
    folder = run.work_dir / "teacher"
    assert [path.name for path in sorted(folder.glob("*.pth"))] == [
        *("iter_1.pth", "non_finite_iter_2_rank_0.pth")
    ]
    saved = torch.load(folder / "non_finite_iter_2_rank_0.pth", weights_only=True)
    assert len(saved["batch"]["inputs"]) == 2
    assert not (run.work_dir / "pseudo_labels").exists()
