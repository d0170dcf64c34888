"""Finished stages: what is kept, refused and redone."""

import json

import pytest
from run_records import content_of, kept_and_started, logged_steps

from nbseg.engine.stages import DEFAULT_STAGES
from nbseg.errors import StageError
from nbseg.files import file_hash

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_second_call_keeps_everything(finished, train):
    before = content_of(finished.work_dir)
    printed = train(finished.config, "--work-dir", finished.work_dir, "--resume")
    assert kept_and_started(printed) == (list(DEFAULT_STAGES), [])
    assert content_of(finished.work_dir) == before


def test_a_moved_run_is_kept(moved, make_pipeline):
    metrics = make_pipeline(moved).run()
    assert metrics == json.loads((moved.work_dir / "metrics.json").read_text())


def test_a_changed_key_is_refused_by_name_before_anything_runs(finished, train):
    before = content_of(finished.work_dir)
    key = "teacher.optim_wrapper.optimizer.lr"
    with pytest.raises(SystemExit) as refusal:
        train(
            finished.config,
            *("--work-dir", finished.work_dir),
            *("--stages", "student,teacher"),
            *("--cfg-options", f"{key}=0.5"),
        )
    message = str(refusal.value)
    assert "train.py: stage teacher in" in message
    assert "optim_wrapper.optimizer.lr: was 0.0001, is 0.5" in message
    assert "Re-run the stage (--redo teacher, or delete" in message
    assert content_of(finished.work_dir) == before


@pytest.mark.parametrize(
    ("stage", "changes", "key"),
    [
        (
            "control",
            {"teacher.optim_wrapper.optimizer.lr": 1.0},
            "optimizer.lr",
        ),
        ("predict", {"tta_model.tta_cfg.max_per_img": 3}, "model.tta_cfg.max_per_img"),
        ("label", {"label.floor": 0.2}, "label.floor: was 0.05, is 0.2"),
        ("student", {"mask_loss.gain": 2.0}, "loss_mask.gain: was 1.0, is 2.0"),
        ("student", {"mask_head": "{plain_mask_head}"}, "mask_head.type"),
        ("student", {"seed": 1}, "randomness.seed: was 0, is 1"),
    ],
)
def test_what_matters_to_a_stage(finished, make_pipeline, stage, changes, key):
    with pytest.raises(ValueError, match=f"stage {stage} in .*{key}"):
        make_pipeline(finished, changes, stages=[stage])


@pytest.mark.parametrize(
    "changes",
    [
        {"num_workers": 2, "persistent_workers": True},
        {"tta_model.feature_budget": 0},
        {"val_interval": 1},
        {"log_level": "ERROR"},
        {"predict.test_cfg.images_per_part": 1},
    ],
)
def test_what_matters_to_no_stage(finished, make_pipeline, changes):
    make_pipeline(finished, changes)


def test_a_changed_input_is_refused_by_name(moved, make_pipeline):
    path = moved.work_dir / "pseudo_labels" / "pseudo_labels.json"
    content = json.loads(path.read_text())
    content["annotations"].pop()
    path.write_text(json.dumps(content))
    # The control stage would start, and the interrupted student would continue.
    (moved.work_dir / "control" / "control.manifest.json").unlink()
    for finished in (True, False):
        record = moved.work_dir / "student" / "student.manifest.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "finished": finished}))
        with pytest.raises(ValueError, match="stage student in .*annotations 1 .*pseudo_labels"):
            make_pipeline(moved, resume="auto").prepare()


def test_a_finished_stage_whose_input_is_made_anew_is_refused(moved, make_pipeline):
    (moved.work_dir / "pseudo_labels" / "label.manifest.json").unlink()
    with pytest.raises(StageError, match="student is finished, but stage label, .*--redo student"):
        make_pipeline(moved).prepare()


def test_redo_runs_a_stage_and_what_depends_on_it(moved, train):
    before = file_hash(moved.work_dir / "teacher" / "teacher.pth")
    printed = train(
        moved.config,
        *("--work-dir", moved.work_dir, "--redo", "label", "--resume"),
        *("--cfg-options", "label.box_threshold=0.06"),
    )
    assert kept_and_started(printed) == (["control", "teacher", "predict"], ["label", "student"])
    assert file_hash(moved.work_dir / "teacher" / "teacher.pth") == before
    info = json.loads((moved.work_dir / "pseudo_labels" / "pseudo_labels.json").read_text())["info"]
    assert {one["box_threshold"] for one in info["classes"].values()} == {0.06}
    # From the start, in spite of --resume.
    assert logged_steps(moved.work_dir / "student")[0] == [1, 2, 3]


def test_redo_goes_down_the_chain(moved, make_pipeline):
    chain = {"teacher", "predict", "label", "student", "oracle"}
    assert make_pipeline(moved, redo=["teacher"]).redo == chain
    assert make_pipeline(moved, redo=["control"]).redo == {"control"}
    assert make_pipeline(moved, redo=["predict"]).redo == {"predict", "label", "student"}
