"""How processes find one another, and how their model is wrapped without a GPU."""

import pytest
from mmengine.config import Config

from nbseg.config.plain_config import RUNNER_KEYS
from nbseg.engine import processes
from nbseg.engine.config_checks import check_config
from nbseg.errors import StageError


@pytest.mark.parametrize(("launcher", "variable"), [("pytorch", "RANK"), ("slurm", "SLURM_PROCID")])
def test_a_process_without_a_launcher_is_refused(launcher, variable, monkeypatch):
    for name in processes.LAUNCHERS[launcher][0]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StageError, match=f"missing: {variable}.*Start the run with tools/"):
        processes.init_processes(launcher, Config())


def test_without_a_gpu_the_wrapper_names_none(monkeypatch):
    monkeypatch.setattr(processes, "get_device", lambda: "cpu")
    plain = Config({"find_unused_parameters": True})
    processes.distribute(plain, "pytorch")
    assert plain.model_wrapper_cfg == {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": True,
        "device_ids": None,
    }


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
