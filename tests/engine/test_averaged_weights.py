"""Trainings with averaged weights: which weights a checkpoint holds, and what they start from."""

import pytest
import torch
from toy_training import ITERATIONS, runner

MOMENTUM = 0.25
AVERAGED = {
    "custom_hooks": [
        {"type": "EMAHook", "momentum": MOMENTUM, "update_buffers": True},
    ]
}


@pytest.fixture(autouse=True)
def any_algorithms():
    """Do not leave the deterministic mode to other tests."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


def states(folder, iteration):
    """The weights that a checkpoint is tested and published with, and those that are trained."""
    content = torch.load(folder / f"iter_{iteration}.pth", weights_only=False)
    trained = content["ema_state_dict"]  # MMEngine exchanges the two
    return content["state_dict"], {k: trained[f"module.{k}"] for k in content["state_dict"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("averaged")
    runner(folder, **AVERAGED).train()
    return folder


def test_checkpoints_hold_the_averages_of_weights_and_buffers(folder):
    expected = {}
    for iteration in range(1, ITERATIONS + 1):
        averages, trained = states(folder, iteration)
        for name in averages:
            if name.endswith("num_batches_tracked"):
                continue
            value = trained[name].double()
            before = expected.get(name, value)
            expected[name] = before + MOMENTUM * (value - before)
            torch.testing.assert_close(averages[name].double(), expected[name], rtol=0, atol=1e-6)
    assert "layers.1.running_mean" in expected and "layers.1.weight" in expected
    for name in ("layers.0.weight", "layers.1.running_mean", "layers.1.running_var"):
        assert not torch.allclose(averages[name], trained[name], atol=1e-3), name


def test_a_training_that_starts_from_averages_trains_and_averages_them(folder, tmp_path):
    made = runner(tmp_path, **AVERAGED, optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.0}})
    made._load_from = str(folder / f"iter_{ITERATIONS}.pth")
    made.train()
    loaded, _ = states(folder, ITERATIONS)
    for state in states(tmp_path, ITERATIONS):
        for name in ("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"):
            torch.testing.assert_close(state[name], loaded[name], rtol=0, atol=1e-7)
