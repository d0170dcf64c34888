"""Check the plain config that each stage gets from one config with sections."""

import pytest
from mmengine.config import Config
from staged_config import config

from nbseg.config.plain_config import coco_evaluator, student_config
from nbseg.engine.stages import STAGES, TRAINING_STAGES, stage_config


def test_sections_override_before_names_are_resolved():
    teacher = stage_config(config(), "teacher", "run")
    assert teacher.model.mask_head == {"type": "Plain", "channels": 8}
    assert teacher.model.sizes == [1, 2]
    assert teacher.train_cfg.max_iters == 100
    assert teacher.load_from is None
    (labeled,) = teacher.train_dataloader.dataset.sets
    assert labeled.pipe == ["load"]
    assert teacher.work_dir == "run/teacher"
    assert teacher.experiment_name == "teacher"


def test_delete_replaces_the_whole_dictionary():
    assert "a" in stage_config(config(), "student", "run").train_dataloader.dataset
    assert "a" not in stage_config(config(), "teacher", "run").train_dataloader.dataset
    # Where there is nothing to replace, the mark leaves no trace.
    changed = config(teacher={"randomness": {"_delete_": True, "seed": 1}})
    assert stage_config(changed, "teacher", "run").randomness == {"seed": 1}


def test_the_command_line_reaches_every_stage():
    changed = config(seed=8, lr=0.25)
    changed.merge_from_dict({"control.lr": 0.125, "teacher.train_cfg.val_interval": 9})
    for stage in ("student", "teacher", "oracle"):
        plain = stage_config(changed, stage, "run")
        assert plain.optim_wrapper.optimizer.lr == 0.25
        assert plain.train_dataloader.dataset.sets[0].ann_file == "run/splits/8@10.json"
    supervised = stage_config(changed, "control", "run")
    assert supervised.optim_wrapper.optimizer.lr == 0.125
    assert supervised.train_cfg.val_interval == 9


def test_the_last_iteration_is_validated_only_if_others_are():
    """A test follows it. MMEngine validates the last one, whatever the interval."""
    changed = config()
    changed.merge_from_dict({"train_cfg.val_interval": 10**9, "teacher.train_cfg.val_interval": 9})
    student, teacher = (stage_config(changed, s, "run").train_cfg for s in ("student", "teacher"))
    assert student.val_begin > student.max_iters
    assert teacher.get("val_begin", 1) <= 9


def test_the_config_itself_stays_as_it_is():
    made = config()
    before = made.to_dict()
    for stage in STAGES:
        stage_config(made, stage, "run")
    assert made.to_dict() == before


def test_the_control_arm_is_the_teacher_trained_as_long_as_both():
    plain = stage_config(config(), "control", "run")
    assert plain.model.mask_head.type == "Plain"
    assert plain.load_from is None
    assert [s.ann_file for s in plain.train_dataloader.dataset.sets] == ["run/splits/3@10.json"]
    assert plain.train_cfg.max_iters == 400
    warmup, cosine = plain.param_scheduler
    assert (warmup.begin, warmup.end) == (0, 50)
    assert (cosine.begin, cosine.end, cosine.T_max) == (0, 400, 400)


def test_the_control_arm_keeps_the_shape_of_a_step_schedule():
    steps = [
        {"type": "LinearLR", "begin": 0, "end": 30},
        {"type": "MultiStepLR", "begin": 0, "end": 100, "milestones": [60, 80], "gamma": 0.1},
        {"type": "StepLR", "step_size": 10},
    ]
    plain = stage_config(config(teacher={"param_scheduler": steps}), "control", "run")
    assert plain.param_scheduler[0] == steps[0]
    assert plain.param_scheduler[1] == {**steps[1], "end": 400, "milestones": [240, 320]}
    assert plain.param_scheduler[2].step_size == 40


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # After the warm-up, to the end: the cosine still ends where the training does.
        ({"begin": 30, "end": 100, "T_max": 70}, {"begin": 30, "end": 400, "T_max": 370}),
        # The second half.
        ({"begin": 50, "end": 100, "T_max": 50}, {"begin": 200, "end": 400, "T_max": 200}),
    ],
)
def test_the_control_arm_keeps_the_shape_of_a_cosine_that_begins_late(before, after):
    steps = [
        {"type": "LinearLR", "begin": 0, "end": 30},
        {"type": "CosineAnnealingLR", **before},
    ]
    plain = stage_config(config(teacher={"param_scheduler": steps}), "control", "run")
    assert plain.param_scheduler[0] == steps[0]
    assert plain.param_scheduler[1] == {"type": "CosineAnnealingLR", **after}


def test_a_linear_decay_is_no_warm_up():
    decay = {"type": "LinearLR", "start_factor": 1.0, "end_factor": 0.1, "begin": 0, "end": 100}
    plain = stage_config(config(teacher={"param_scheduler": [decay]}), "control", "run")
    assert plain.param_scheduler == [{**decay, "end": 400}]


def test_the_control_arm_may_have_a_schedule_of_its_own():
    own = {"control": {"train_cfg": {"max_iters": 77}}}
    plain = stage_config(config(**own), "control", "run")
    assert plain.train_cfg.max_iters == 77
    assert plain.param_scheduler[1].T_max == 100


def test_the_control_arm_needs_iterations_to_derive_its_schedule():
    by_epochs = {"type": "EpochBasedTrainLoop", "max_epochs": 12, "_delete_": True}
    changed = config(teacher={"train_cfg": by_epochs})
    with pytest.raises(
        ValueError, match="the teacher's train_cfg has no max_iters.*control.train_cfg"
    ):
        stage_config(changed, "control", "run")
    assert stage_config(changed, "teacher", "run").train_cfg.max_epochs == 12


def test_the_oracle_is_the_student_with_the_hidden_labels():
    oracle = stage_config(config(), "oracle", "run")
    student = stage_config(config(), "student", "run")
    assert oracle.train_dataloader.dataset.sets[1].ann_file == "hidden.json"
    for key in ("model", "train_cfg", "param_scheduler", "optim_wrapper", "load_from"):
        assert oracle[key] == student[key]


def test_own_files_take_the_place_of_what_stages_make():
    own = config(teacher={"checkpoint": "mine.pth"}, label={"ann_file": "mine.json"})
    student = stage_config(own, "student", "run")
    assert student.load_from == "mine.pth"
    assert student.train_dataloader.dataset.sets[1].ann_file == "mine.json"
    assert stage_config(own, "oracle", "run").train_dataloader.dataset.sets[1].ann_file == (
        "hidden.json"
    )
    assert "checkpoint" not in stage_config(own, "teacher", "run")


def test_the_pseudo_stage_predicts_with_the_teacher_in_views():
    pseudo = stage_config(config(), "predict", "run")
    assert pseudo.model == {
        "type": "MaskTTAModel",
        "tta_cfg": {"max_per_img": 7},
        "module": {"mask_head": {"type": "Plain", "channels": 8}, "sizes": [1, 2]},
    }
    assert pseudo.test_dataloader.dataset == {"ann_file": "unlabeled.json", "pipeline": ["views"]}
    assert pseudo.test_cfg == {"type": "PseudoLabelLoop"}
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "val_dataloader", "val_cfg"):
        assert pseudo[key] is None
    assert pseudo.work_dir == "run/pseudo_labels"


def test_settings_of_single_steps_are_resolved():
    settings = stage_config(config(), "label", "run")
    assert settings.label == {
        "labeled_json": "run/3.json",
        "floor": 0.1,
    }
    assert settings.split == {"percent": 10, "seed": 3}


@pytest.mark.parametrize("stage", [*TRAINING_STAGES, "predict"])
def test_a_stages_config_is_plain_and_survives_a_file(stage, tmp_path):
    plain = stage_config(config(), stage, tmp_path)
    assert not set(plain) & {*STAGES, "split", "report", "head", "pipeline", "iterations"}
    path = tmp_path / "config.py"
    plain.dump(path)
    assert "{work_dir}" not in path.read_text()
    assert Config.fromfile(path).to_dict() == plain.to_dict()
    # It is its own stage config, so that tools take either.
    assert student_config(Config.fromfile(path), "elsewhere").model == plain.model


def test_the_evaluator_of_coco_files_is_found_among_several():
    coco = {"type": "InstanceMetric", "ann_file": "val.json"}
    other = {"type": "CityscapesInstanceMetric", "ann_dir": "gtFine/val"}
    plain = stage_config(
        config(val_evaluator=coco, test_evaluator=[other, "{val_evaluator}"]), "student", "run"
    )
    coco_evaluator(plain).outfile_prefix = "out"
    assert plain.test_evaluator == [other, {**coco, "outfile_prefix": "out"}]
    assert coco_evaluator(Config({"test_evaluator": coco})) == coco
    with pytest.raises(ValueError, match="must have a metric with an ann_file.*gtFine/val"):
        coco_evaluator(Config({"test_evaluator": [other]}))


@pytest.mark.parametrize(
    ("old", "new"),
    [("supervised", "control"), ("pseudo", "predict"), ("labels", "label")]
    + [("labelled_json", "labeled_json")],
)
def test_names_of_earlier_versions_are_refused_with_the_new_name(old, new):
    with pytest.raises(
        ValueError, match=f"'{old}' of an earlier nbseg version; rename it to '{new}'"
    ):
        stage_config(config(**{old: {"lr": 1}}), "student", "run")


def test_what_tests_the_student_has_no_key_of_a_training():
    plain = student_config(config(), "logs")
    assert plain.model == stage_config(config(), "student", "run").model
    assert plain.work_dir == "logs"
    assert not {"train_dataloader", "train_cfg", "optim_wrapper", "load_from"} & set(plain)
