"""What a training stage publishes is what it tests."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from nbseg.checkpoint import read_checkpoint
from nbseg.registry import HOOKS

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # MMEngine names a run by the second; two tests may share one.
    pytest.mark.filterwarnings("ignore:.*instance named of"),
]


@HOOKS.register_module()
class ShiftsTheModelAfterTraining(Hook):
    """Keeps weights of its own, as pruning and averaging hooks do."""

    def before_run(self, runner):
        self.model = runner.model

    def after_train(self, runner):
        with torch.no_grad():
            for value in self.model.parameters():
                value.mul_(1.5)


@HOOKS.register_module()
class LaterIsWorse(Hook):
    """Gives the validations of a training falling metrics."""

    priority = "VERY_HIGH"

    def after_val_epoch(self, runner, metrics=None):
        metrics["coco/segm_mAP"] = 1 / runner.iter


# Averages of the weights after the two steps, and the share of the second step's weights.
AVERAGES = {"moving average": 0.3, "mean": 0.5}
CASES = {
    "moving average": {"custom_hooks": "{averaged_weights}", "ema_momentum": 0.3},
    "mean": {"custom_hooks": [dict(type="EMAHook", ema_type="StochasticWeightAverage")]},
    "best, and own weights": {
        "custom_hooks": [dict(type="LaterIsWorse"), dict(type="ShiftsTheModelAfterTraining")],
        "default_hooks.checkpoint.save_best": "coco/segm_mAP",
        "val_interval": 1,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_the_published_weights_are_tested(finished, tmp_path, make_pipeline, test, case):
    work_dir = tmp_path / "run"
    shutil.copytree(finished.work_dir / "splits", work_dir / "splits")
    run = SimpleNamespace(**{**vars(finished), "work_dir": work_dir})
    changes = {"teacher.optim_wrapper.optimizer.lr": 2e-2, **CASES[case]}
    metrics = make_pipeline(run, changes, stages=["teacher"]).run()["teacher"]
    folder = work_dir / "teacher"
    printed = test(
        folder / "config.py",
        folder / "teacher.pth",
        *("--work-dir", tmp_path / "logs", "--out", tmp_path / "results"),
    )
    lines = [line.split(": ") for line in printed.splitlines() if line.startswith("coco/")]
    tested = {name.removeprefix("coco/"): float(value) for name, value in lines}
    assert tested == pytest.approx(metrics, abs=1e-6)
    results, expected = (
        json.loads(path.read_text())
        for path in (tmp_path / "results.segm.json", folder / "predictions.segm.json")
    )
    assert results == expected and results
    published = read_checkpoint(folder / "teacher.pth")
    averaged = case in AVERAGES
    source = "iter_2.pth" if averaged else "best_coco_segm_mAP_iter_1.pth"
    state = read_checkpoint(folder / source)["state_dict"]
    assert published["meta"]["iter"] == 1 + averaged
    assert all(torch.equal(value, state[key]) for key, value in published["state_dict"].items())
    if averaged:
        key = "roi_head.bbox_head.fc_cls.weight"
        first, second = (
            read_checkpoint(folder / f"iter_{step}.pth")["ema_state_dict"][f"module.{key}"]
            for step in (1, 2)
        )
        assert not torch.equal(first, second)
        expected = torch.lerp(first, second, AVERAGES[case])
        torch.testing.assert_close(published["state_dict"][key], expected, rtol=0, atol=1e-7)


def test_the_best_checkpoint_needs_a_validation(finished, make_pipeline):
    changes = {"default_hooks.checkpoint.save_best": "auto", "val_interval": 100}
    with pytest.raises(ValueError, match=r"save_best needs .* has none; .*val_interval .found 100"):
        make_pipeline(finished, changes)
