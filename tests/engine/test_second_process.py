"""The control arm in a second process, beside the other stages."""

import multiprocessing
import os
import pickle
import signal
import time

import pytest
import torch

from nbseg.engine.second_process import _run_in_second_process, in_two_processes
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


@pytest.mark.parametrize("options", [{"launcher": "pytorch"}, {"resume": "iter_5.pth"}])
def test_what_two_processes_cannot_share_is_refused(finished, make_pipeline, options):
    with pytest.raises(ValueError, match="--jobs 2 works neither with --launcher nor with"):
        make_pipeline(finished, jobs=2, **options)


def fail(stage):
    print(f"{stage} needs more memory")
    raise SystemExit(3)


def die(stage):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("end", "reason"),
    [(fail, "exit code 3: control needs more memory"), (die, "signal SIGKILL: no output")],
)
def test_a_failure_is_named_before_the_next_stage_starts(tmp_path, end, reason):
    log = WorkDir(tmp_path).log("control")
    log.parent.mkdir()
    log.write_text("an earlier attempt\n")
    ran = []

    def run(stage):
        if stage == "control":
            end(stage)
        ran.append(stage)
        while multiprocessing.active_children():
            time.sleep(0.01)

    stages = ("control", "teacher", "predict")
    with pytest.raises(StageError, match=rf"stage control failed with {reason} \(.*log\.txt"):
        in_two_processes(run, stages, True, {}, WorkDir(tmp_path))
    assert ran == ["teacher"]


def wait_in_worker(file):
    """Wait as a data loader's worker that nobody reads from, which SIGTERM alone does not end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    file.write_text(str(os.getpid()))
    time.sleep(60)


def alive(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def running_control(file):
    multiprocessing.get_context("fork").Process(target=wait_in_worker, args=(file,)).start()
    time.sleep(60)


def started(file):
    while not (file.exists() and file.read_text()):
        time.sleep(0.01)
    return int(file.read_text())


def gone(process_id):
    """Wait until a process has ended, for at most half of the time that it would sleep."""
    for _ in range(300):
        if not alive(process_id):
            return True
        time.sleep(0.1)
    return False


def test_the_second_process_and_its_workers_end_with_a_failed_stage(tmp_path):
    def run(stage):
        if stage == "control":
            running_control(tmp_path / "worker")
        started(tmp_path / "worker")
        raise KeyError(stage)

    with pytest.raises(KeyError, match="teacher"):
        in_two_processes(run, ("control", "teacher"), True, {}, WorkDir(tmp_path))
    assert not multiprocessing.active_children()
    assert gone(int((tmp_path / "worker").read_text()))


def test_the_second_process_and_its_workers_end_with_a_killed_first_process(tmp_path):
    def run(stage):
        if stage == "control":
            running_control(tmp_path / "worker")
        time.sleep(60)

    def first():
        in_two_processes(run, ("control", "teacher"), True, {}, WorkDir(tmp_path))

    process = multiprocessing.get_context("fork").Process(target=first)
    process.start()
    worker = started(tmp_path / "worker")
    process.kill()
    process.join()
    assert gone(worker)


@pytest.mark.parametrize(
    ("visible", "gpus", "second"),
    [
        *[(None, 0, None), (None, 1, None), (None, 2, "1"), ("5", 1, "5"), ("3,5,7", 3, "5")],
        ("0,1,2", 1, "0,1,2"),  # a machine with fewer GPUs than the variable names
    ],
)
def test_the_second_process_uses_the_second_gpu(tmp_path, monkeypatch, visible, gpus, second):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)

    def show(stage):
        if stage == "control":
            print(os.environ.get("CUDA_VISIBLE_DEVICES"))
        else:
            assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible

    in_two_processes(show, ("control", "teacher"), True, {}, WorkDir(tmp_path))
    assert (tmp_path / "control" / "log.txt").read_text() == f"{second}\n"


@pytest.mark.parametrize("beside", [False, True])
def test_each_process_uses_half_of_the_threads(tmp_path, monkeypatch, beside):
    counts = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: counts[-1] if counts else 8)
    monkeypatch.setattr(torch, "set_num_threads", counts.append)

    def run(stage):
        print(stage, counts)
        assert torch.get_num_threads() == 4

    in_two_processes(run, ("control", "teacher"), beside, {}, WorkDir(tmp_path))
    assert counts == [4, 8]
    if beside:
        assert (tmp_path / "control" / "log.txt").read_text() == "control [4, 4]\n"


def test_the_second_process_first_imports_what_the_config_names(tmp_path, monkeypatch):
    (tmp_path / "imported_by_second_process.py").write_text("print('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    config = {"custom_imports": {"imports": ["imported_by_second_process"]}}
    in_two_processes(print, ("control",), True, config, WorkDir(tmp_path))
    assert (tmp_path / "control" / "log.txt").read_text() == "imported\ncontrol\n"


def test_a_second_process_whose_first_process_is_gone_already_ends(tmp_path):
    """The first process can be killed while the second one still imports."""
    context = multiprocessing.get_context("fork")
    ended = context.Process(target=int)
    ended.start()
    ended.join()
    arguments = (time.sleep, 60, None, tmp_path / "log.txt", 1, ended.pid)
    process = context.Process(target=_run_in_second_process, args=arguments)
    process.start()
    process.join(30)
    assert process.exitcode == 1
