"""Parallel runs: their GPUs, and the reason of a failure. The trainings are stubs."""

import json
import os
import runpy
import sys

import pytest
import torch
import torch.distributed.run  # processes that are forked need not import it again
from torch.distributed.elastic.rendezvous import dynamic_rendezvous

from nbseg.experiments.hardware import gpus_of_jobs
from nbseg.experiments.job_queue import JobQueue
from nbseg.experiments.run import Run

# Writes the manifest of a finished stage, and the environment of its process.
STUB = """
import argparse, json, os, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--work-dir", type=Path)
folder = parser.parse_known_args()[0].work_dir
if folder.name == "missing":
    sys.exit("train.py: there is no file a.json; correct data_root")
if folder.name == "wrong":
    try:
        raise ValueError("train_dataloader is wrong")
    finally:
        print("Exception ignored in: <function DataLoader.__del__>\\nAssertionError: no child")
if folder.name == "killed":
    os.kill(os.getpid(), 9)
names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "WORLD_SIZE")
given = {name: os.environ.get(name) for name in names}
(folder / f"rank-{os.environ.get('RANK', 0)}.json").write_text(json.dumps(given))
if folder.name == "long":
    end = time.monotonic() + 60
    while not (folder.parent / "third/rank-0.json").exists():
        if time.monotonic() > end:
            sys.exit("train.py: the third run did not start")
        time.sleep(0.01)
(folder / "teacher").mkdir(exist_ok=True)
(folder / "teacher/teacher.manifest.json").write_text('{"stage": "teacher", "finished": true}')
"""


@pytest.fixture
def tools(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "train.py").write_text(STUB)
    return tmp_path / "tools"


@pytest.fixture
def forked_torchrun(monkeypatch):
    """Let torchrun replace a forked process's program, except in a run called "executed".

    A new interpreter would import PyTorch again.
    """
    execute = os.execvp

    def run_module(file, command):
        if command[1] != "-m" or any(argument.endswith("/executed") for argument in command):
            execute(file, command)
        sys.argv = command[2:]
        # torchrun names a function in each message of its log. To find the name, it looks through
        # all modules, of which pytest has imported thousands.
        dynamic_rendezvous.get_method_name = lambda depth=2: "function"
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        sys.exit()

    monkeypatch.setattr(os, "execvp", run_module)


def runs(*folders):
    return [Run(folder, "config.py", ("teacher",), {}) for folder in folders]


def test_parallel_runs_have_their_own_gpus(tools, forked_torchrun, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    work_dir = tmp_path / "runs"
    assert JobQueue(work_dir, tools, jobs=2, gpus=2).run(runs("forked", "executed")) == {}
    devices = set()
    for folder in ("forked", "executed"):
        processes = [json.loads((work_dir / folder / f"rank-{i}.json").read_text()) for i in (0, 1)]
        assert processes[0] == processes[1]
        assert processes[0]["WORLD_SIZE"] == "2"
        cores = len(os.sched_getaffinity(0))
        assert processes[0]["OMP_NUM_THREADS"] == str(max(1, cores // 4))
        devices.add(processes[0]["CUDA_VISIBLE_DEVICES"])
    assert devices == {"0,1", "2,3"}


def test_a_run_starts_as_soon_as_another_one_ends(tools, tmp_path):
    """The first run ends only after the third one, which needs the job slot of the second one."""
    assert JobQueue(tmp_path / "runs", tools, jobs=2).run(runs("long", "short", "third")) == {}


def test_gpus_are_shared_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,5,3,1")
    assert gpus_of_jobs(2, 2) == ["7,5", "3,1"]
    assert gpus_of_jobs(3, 1) == ["7", "5", "3"]
    with pytest.raises(ValueError, match="--jobs 2 with --gpus 3 needs 6 GPUs, found 4"):
        gpus_of_jobs(2, 3)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert gpus_of_jobs(2, 3) == [None, None]


@pytest.mark.parametrize("gpus", [1, 2])
def test_why_a_run_failed(tools, forked_torchrun, tmp_path, gpus):
    queue = JobQueue(tmp_path / "runs", tools, jobs=3, gpus=gpus)
    (tmp_path / "runs/killed").mkdir(parents=True)
    (tmp_path / "runs/killed/log.txt").write_text("ValueError: of an earlier attempt\n")
    failed = queue.run(runs("missing", "wrong", "killed"))
    assert "train.py: there is no file a.json; correct data_root" in failed["missing (teacher)"]
    assert "ValueError: train_dataloader is wrong" in failed["wrong (teacher)"]
    why = "Signal 9 (SIGKILL) received" if gpus > 1 else "exit code -9, no output"
    assert why in failed["killed (teacher)"]
