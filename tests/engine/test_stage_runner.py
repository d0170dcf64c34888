"""Learning rates follow the images of a step; tests/process_runs.py runs the rest in processes."""

import gc
import logging
import multiprocessing
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from toy_training import runner

from nbseg.engine.stage_runner import StageRunner, average_gradients


def wrapper(accumulated, rates=(0.5,)):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return OptimWrapper(torch.optim.SGD(groups), accumulative_counts=accumulated)


def rates(optim_wrapper):
    return [group["lr"] for group in optim_wrapper.optimizer.param_groups]


@pytest.mark.parametrize(
    ("processes", "batch", "accumulated", "expected"),
    [(1, 4, 1, 0.125), (2, 4, 1, 0.25), (2, 4, 2, 0.5), (3, 4, 4, 1.5)],
)
def test_rates_follow_the_images_of_a_step(processes, batch, accumulated, expected):
    run = SimpleNamespace(
        world_size=processes,
        _train_dataloader={"batch_size": batch},
        logger=logging.getLogger("test"),
    )
    scaling = {"enable": True, "base_batch_size": 16}
    made = wrapper(accumulated, (0.5, 1.0))
    StageRunner.scale_lr(run, made, scaling)
    assert rates(made) == [expected, 2 * expected]
    several = OptimWrapperDict(first=wrapper(accumulated), second=wrapper(1))
    StageRunner.scale_lr(run, several, scaling)
    assert rates(several["first"]) == [expected]
    assert rates(several["second"]) == [expected / accumulated]


@pytest.mark.parametrize("scaling", [None, {}, {"enable": False, "base_batch_size": 16}])
def test_rates_stay_without_scaling(scaling):
    made = wrapper(4)
    StageRunner.scale_lr(SimpleNamespace(), made, scaling)
    assert rates(made) == [0.5]


def test_gradients_are_averaged_where_some_process_has_one(monkeypatch):
    """Another process has the gradients 3 for the first two layers, and none for the third."""

    def all_reduce(tensor, op):
        if op == "max":
            tensor.copy_(torch.tensor([1.0, 1.0, 0.0]))
        else:
            assert op == "mean"
            tensor.add_(3.0).div_(2)

    monkeypatch.setattr("nbseg.engine.stage_runner.all_reduce", all_reduce)
    layers = torch.nn.ParameterList([torch.zeros(2) for _ in range(4)])
    layers[0].grad = torch.tensor([1.0, -1.0])
    layers[3].requires_grad_(False)
    average_gradients(layers)
    assert layers[0].grad.tolist() == [2.0, 1.0]
    assert layers[1].grad.tolist() == [1.5, 1.5]
    assert layers[2].grad is None and layers[3].grad is None


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_end_with_their_training(tmp_path, persistent):
    made = runner(tmp_path, workers=1, persistent=persistent)
    gc.disable()
    try:
        made.train()
        assert not multiprocessing.active_children()
    finally:
        gc.enable()
