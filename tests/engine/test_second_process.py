"""The control arm in a second process, beside the other stages."""

import functools
import multiprocessing
import os
import pickle
import time

import pytest
import torch

from nbseg.engine.second_process import second_process
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError

pytestmark = pytest.mark.usefixtures("forked", "one_thread")


@pytest.fixture
def forked(monkeypatch):
    """A fork starts in no time; the new process of a real run imports everything first."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: fork)


def test_control_and_teacher_are_those_of_a_run_in_one_process(
    finished, make_pipeline, tmp_path, capfd
):
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    pipeline = make_pipeline(run, stages=("control", "teacher"), jobs=2)
    # As a new process receives it.
    pipeline = pickle.loads(pickle.dumps(pipeline))
    assert set(pipeline.run()) == {"control", "teacher"}
    for stage in ("control", "teacher"):
        trained, expected = (
            torch.load(WorkDir(path).checkpoint(stage), weights_only=False)["state_dict"]
            for path in (run.work_dir, finished.work_dir)
        )
        assert trained.keys() == expected.keys()
        assert all(torch.equal(trained[name], expected[name]) for name in expected)
    printed = capfd.readouterr().out
    assert "[teacher] starts" in printed and "[control] starts" not in printed
    assert "[control] starts" in (run.work_dir / "control" / "log.txt").read_text()
    # A finished stage needs no second process.
    make_pipeline(run, stages=("control", "teacher"), jobs=2).run()
    assert "[control] is finished and kept" in capfd.readouterr().out


def fail(stage):
    print(f"{stage} needs more memory")
    raise SystemExit(3)


def sleep(stage, file):
    file.touch()
    time.sleep(60)
    file.unlink()


def test_a_failed_stage_is_named_with_its_last_line(tmp_path):
    with (
        pytest.raises(
            StageError,
            match=r"control failed with exit code 3: control needs more memory \(.*log\.txt",
        ),
        second_process(fail, "control", {}, WorkDir(tmp_path)),
    ):
        pass


def test_the_second_process_ends_with_a_failed_block(tmp_path):
    file, start = tmp_path / "running", time.monotonic()
    with pytest.raises(KeyError):
        run = functools.partial(sleep, file=file)
        with second_process(run, "control", {}, WorkDir(tmp_path)):
            while not file.exists():
                time.sleep(0.01)
            raise KeyError
    assert time.monotonic() - start < 50 and file.exists()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("visible", "gpus", "second"),
    [(None, 0, None), (None, 1, None), (None, 2, "1"), ("5", 1, "5"), ("3,5,7", 3, "5")],
)
def test_the_second_process_uses_the_second_gpu(tmp_path, monkeypatch, visible, gpus, second):

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)

    def show(_):
        print(os.environ.get("CUDA_VISIBLE_DEVICES"))

    with second_process(show, "control", {}, WorkDir(tmp_path)):
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
    assert (tmp_path / "control" / "log.txt").read_text() == f"{second}\n"
