"""How processes find one another, and how their model is wrapped without a GPU."""

import os

import pytest
import torch
from mmengine.config import Config

from nbseg.config.plain_config import RUNNER_KEYS
from nbseg.engine import processes
from nbseg.engine.config_checks import check_config
from nbseg.errors import StageError

VARIABLES = {
    "pytorch": ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "slurm": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_NODELIST"),
}


@pytest.fixture
def launched(monkeypatch):
    """Set a launcher's variables as the given process on its machine has them."""

    def launch(launcher, local_rank=0):
        for name in ("LOCAL_RANK", *VARIABLES[launcher]):
            monkeypatch.setenv(name, str(local_rank))

    return launch


@pytest.fixture
def joined(monkeypatch):
    """Replace the start of communication; the list shows each call with the local ranks set."""
    calls = []

    def join(launcher, **settings):
        names = ("LOCAL_RANK", "SLURM_LOCALID")
        calls.append((launcher, settings, [os.environ.get(name) for name in names]))

    monkeypatch.delenv("SLURM_LOCALID", raising=False)
    monkeypatch.setattr(processes, "init_dist", join)
    return calls


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the machine has a number of GPUs."""

    def pretend(number):
        monkeypatch.setattr(processes, "get_device", lambda: "cuda" if number else "cpu")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return pretend


@pytest.mark.parametrize(
    ("launcher", "missing"),
    [(launcher, name) for launcher, names in VARIABLES.items() for name in ("", *names)],
)
def test_a_process_without_a_launcher_is_refused(launcher, missing, launched, monkeypatch, joined):
    names = [missing] if missing else VARIABLES[launcher]
    launched(launcher)
    for name in names:
        monkeypatch.delenv(name)
    script = {"pytorch": "dist_train", "slurm": "slurm_train"}[launcher]
    with pytest.raises(
        StageError, match=rf"missing: {', '.join(names)}\. Start the run with tools/{script}\.sh"
    ):
        processes.init_processes(launcher, Config())
    assert not joined


@pytest.mark.parametrize("launcher", VARIABLES)
@pytest.mark.parametrize(("devices", "local_rank"), [(1, 1), (2, 2), (2, 7)])
def test_a_process_without_a_gpu_of_its_own_is_refused(
    launcher, devices, local_rank, launched, gpus, joined
):
    gpus(devices)
    launched(launcher, local_rank)
    with pytest.raises(
        StageError,
        match=rf"process {local_rank + 1} of this machine has no GPU of its own, because torch "
        rf"finds only {devices} GPU\(s\); start at most {devices} process",
    ):
        processes.init_processes(launcher, Config())
    assert not joined


def test_a_process_with_a_gpu_of_its_own_uses_the_config_s_backend(launched, gpus, joined):
    gpus(2)
    launched("pytorch", 1)
    settings = {"backend": "nccl", "timeout": 60}
    processes.init_processes("pytorch", Config({"env_cfg": {"dist_cfg": settings}}))
    assert joined == [("pytorch", settings, ["1", None])]


@pytest.mark.parametrize(
    ("launcher", "settings", "backend", "ranks"),
    [
        ("pytorch", {"backend": "nccl", "timeout": 60}, "gloo", ["-1", None]),
        ("pytorch", {"backend": "mpi"}, "mpi", ["-1", None]),
        ("slurm", {}, "gloo", ["3", "-1"]),
    ],
)
def test_without_a_gpu_no_gpu_is_selected(
    launcher, settings, backend, ranks, launched, gpus, joined
):
    gpus(0)
    launched(launcher, 3)
    processes.init_processes(launcher, Config({"env_cfg": {"dist_cfg": settings}}))
    assert joined == [(launcher, {**settings, "backend": backend}, ranks)]
    # Code that runs later finds the rank again.
    assert os.environ["LOCAL_RANK"] == os.environ[VARIABLES[launcher][1]] == "3"


def test_a_single_process_needs_no_launcher(joined):
    processes.init_processes("none", Config())
    assert not joined


DEFAULT_WRAPPER = {"type": "MMDistributedDataParallel", "broadcast_buffers": False}


@pytest.mark.parametrize("launcher", VARIABLES)
@pytest.mark.parametrize(
    ("keys", "wrapper"),
    [
        ({}, {**DEFAULT_WRAPPER, "find_unused_parameters": False}),
        ({"find_unused_parameters": True}, {**DEFAULT_WRAPPER, "find_unused_parameters": True}),
        ({"model_wrapper_cfg": {"static_graph": True}}, {"static_graph": True}),
        (
            {"model_wrapper_cfg": {"type": "MMSeparateDistributedDataParallel"}},
            {"type": "MMSeparateDistributedDataParallel"},
        ),
    ],
)
def test_without_a_gpu_the_wrapper_names_none(keys, wrapper, launcher, gpus):
    gpus(0)
    plain = Config(keys)
    processes.distribute(plain, launcher)
    assert plain.launcher == launcher
    assert plain.model_wrapper_cfg == {**wrapper, "device_ids": None}


@pytest.mark.parametrize("keys", [{}, {"model_wrapper_cfg": {"static_graph": True}}])
@pytest.mark.parametrize(("launcher", "devices"), [("pytorch", 2), ("slurm", 2), ("none", 0)])
def test_with_a_gpu_or_without_a_launcher_the_wrapper_is_kept(keys, launcher, devices, gpus):
    gpus(devices)
    plain = Config(keys)
    processes.distribute(plain, launcher)
    assert plain.to_dict() == {**keys, "launcher": launcher}


def test_stages_keep_the_keys_that_runners_read_from_configs():
    assert {
        *("model_wrapper_cfg", "find_unused_parameters", "sync_bn"),
        *("compile", "activation_checkpointing", "efficient_conv_bn_eval"),
    } <= RUNNER_KEYS


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"strategy": {"type": "FSDPStrategy"}}, "strategy = .*FSDPStrategy.*FlexibleRunner"),
        ({"teacher": {"strategy": {"type": "DeepSpeedStrategy"}}}, "strategy = .*DeepSpeed"),
        ({"runner_type": "FlexibleRunner"}, "runner_type = 'FlexibleRunner'"),
        ({"model_wrapper_cfg": {"type": "MMFullyShardedDataParallel"}}, "'MMFullySharded"),
        ({"student": {"model_wrapper_cfg": {"type": "Misspelt"}}}, "the type 'Misspelt'"),
    ],
)
def test_runners_and_wrappers_that_cannot_work_are_refused(keys, found):
    with pytest.raises(ValueError, match=f"{found}.*DistributedDataParallel; remove this key"):
        check_config(Config(keys), Config())


@pytest.mark.parametrize(
    "keys",
    [
        {"runner_type": "Runner"},
        {"model_wrapper_cfg": {"static_graph": True}},
        {"model_wrapper_cfg": {"type": "MMSeparateDistributedDataParallel"}},
    ],
)
def test_wrappers_with_a_whole_copy_of_the_model_are_kept(keys):
    check_config(Config(keys), Config())
