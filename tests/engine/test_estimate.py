"""The estimate of a run's time, with iterations whose time is set."""

import json

import pytest

from nbseg.engine import estimate as module
from nbseg.engine.estimate import TimesHook, estimate

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_run_is_estimated_and_starts_afterwards(finished, make_pipeline, monkeypatch, tmp_path):
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    pipeline = make_pipeline(run, {"iterations": 50, "teacher.iterations": 30})
    pipeline.prepare()
    monkeypatch.setattr(TimesHook, "seconds", property(lambda self: len(self.ends)))
    before = sorted(run.work_dir.rglob("*"))
    lines = estimate(pipeline.waiting)
    assert sorted(run.work_dir.rglob("*")) == before
    # Four iterations are run, and three images.
    unlabeled = json.loads(next(run.work_dir.glob("splits/*-unlabeled.json")).read_text())
    images = len(unlabeled["images"])
    assert lines[:-1] == [
        "[control] about 5 min: 80 iterations of 4 s",
        "[teacher] about 2 min: 30 iterations of 4 s",
        f"[predict] about {3 * images} s: {images} images of 3 s",
        "[student] about 3 min: 50 iterations of 4 s",
    ]
    total = 4 * 160 + 3 * images
    assert lines[-1].startswith(f"estimate: about {total / 60:.0f} min without tests, ")
    assert "GB of memory" in lines[-1]

    # The estimate leaves no trace in a later run of the same process.
    metrics = make_pipeline(run, stages=["teacher"]).run()
    assert "segm_mAP" in metrics["teacher"]
    assert (run.work_dir / "teacher/teacher.pth").is_file()


def test_a_stage_that_fails_is_named(finished, make_pipeline, monkeypatch, tmp_path):
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})

    def fail(config):
        raise RuntimeError("no memory")

    monkeypatch.setattr(module, "_train", fail)
    pipeline = make_pipeline(run, stages=["teacher"])
    lines = estimate(pipeline.waiting)
    assert lines[0] == "[teacher] not estimated (RuntimeError: no memory)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(89, "89 s"), (91, "2 min"), (5399, "90 min"), (5401, "2 h"), (4e5, "5 days"), (0, "0 s")],
)
def test_durations(seconds, text):
    assert module._duration(seconds) == text
