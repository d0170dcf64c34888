"""tools/test.py on what a run left."""

import json

import pytest

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # MMEngine names a run by the second; two tests may share one.
    pytest.mark.filterwarnings("ignore:.*instance named of"),
]


def printed_metrics(printed):
    lines = [line.split(": ") for line in printed.splitlines() if line.startswith("coco/")]
    return {name.removeprefix("coco/"): float(value) for name, value in lines}


@pytest.mark.parametrize("stage", ["student", "teacher"])
def test_a_checkpoint_tests_as_in_its_run(finished, tmp_path, test, stage):
    """The user's config means the student; a stage's own plain config means that stage."""
    config = finished.work_dir / "teacher" / "config.py" if stage == "teacher" else finished.config
    checkpoint = finished.work_dir / stage / f"{stage}.pth"
    printed = test(
        config,
        checkpoint,
        *("--work-dir", tmp_path / "logs", "--out", tmp_path / "results"),
        *("--show-dir", tmp_path / "pictures"),
    )
    metrics = json.loads((finished.work_dir / "metrics.json").read_text())[stage]
    assert printed_metrics(printed) == pytest.approx(metrics, abs=1e-6)
    results, expected = (
        json.loads(path.read_text())
        for path in (
            tmp_path / "results.segm.json",
            finished.work_dir / stage / "predictions.segm.json",
        )
    )
    assert results == expected
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == ["000000.png", "000001.png"]


def test_views_are_averaged(finished, tmp_path, test):
    checkpoint = finished.work_dir / "student" / "student.pth"
    results = {}
    for name, options in (("plain", []), ("views", ["--tta"])):
        printed = test(
            finished.config,
            checkpoint,
            *("--work-dir", tmp_path / "logs", "--out", tmp_path / name),
            *options,
        )
        assert set(printed_metrics(printed)) >= {"segm_mAP", "boundary_mAP"}
        results[name] = json.loads((tmp_path / f"{name}.segm.json").read_text())
    assert results["views"] != results["plain"]


def test_another_models_checkpoint_is_refused(finished, tmp_path, test):
    checkpoint = finished.work_dir / "teacher" / "teacher.pth"
    with pytest.raises(SystemExit, match="test.py: .*teacher.pth is not a checkpoint of"):
        test(finished.config, checkpoint, "--work-dir", tmp_path)
    with pytest.raises(SystemExit, match="test.py: .*there is no checkpoint .*missing.pth"):
        test(finished.config, tmp_path / "missing.pth", "--work-dir", tmp_path)
