"""How processes find one another, and how their model is wrapped without a GPU."""

import pytest
from mmengine.config import Config

from nbseg.config.plain_config import RUNNER_KEYS
from nbseg.engine import processes
from nbseg.errors import StageError


@pytest.mark.parametrize(("launcher", "variable"), [("pytorch", "RANK"), ("slurm", "SLURM_PROCID")])
def test_a_process_without_a_launcher_is_refused(launcher, variable, monkeypatch):
    for name in processes.LAUNCHERS[launcher][0]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StageError, match=f"{variable}.*are missing; start the run with tools/"):
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


def test_stages_keep_the_keys_of_several_processes():
    assert {"model_wrapper_cfg", "find_unused_parameters", "sync_bn"} <= RUNNER_KEYS
