"""Check how names in braces become values of a plain config."""

import pytest
from staged_config import config

from nbseg.engine.stages import stage_config


def test_a_name_alone_becomes_its_value_of_any_type():
    student = stage_config(config(), "student", "run")
    assert student.model.mask_head == {
        "type": "NoiseTolerant",
        "channels": 8,
        "loss": {"type": "BPM"},
    }
    assert student.train_cfg.max_iters == 300 and type(student.train_cfg.max_iters) is int
    assert student.optim_wrapper.optimizer.lr == 0.5
    # Lists and tuples, and names within what a name stands for.
    first, second = student.train_dataloader.dataset.sets
    assert first.pipe == ["load", {"type": "CutOut", "holes": (1, 5)}]
    assert type(first.pipe[1].holes) is tuple
    assert first.ann_file == "run/splits/3@10.json"
    assert second.ann_file == "run/pseudo_labels/pseudo_labels.json"
    assert student.load_from == "run/teacher/teacher.pth"


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (5.0, "5"), (2.5, "2.5"), ("five", "five"), (1e-3, "0.001")]
)
def test_names_inside_a_text(value, text):
    student = stage_config(config(percent=value), "student", "run")
    assert student.train_dataloader.dataset.sets[0].ann_file == f"run/splits/3@{text}.json"


def test_false_and_zero_are_values():
    student = stage_config(config(flag=False, zero=0, load_from="{zero}"), "student", "run")
    assert student.load_from == 0
    assert stage_config(config(flag=False, load_from="{flag}"), "student", "run").load_from is False


def test_braces_that_hold_no_name_stay():
    student = stage_config(config(log_level="{:>5} {} {a b}"), "student", "run")
    assert student.log_level == "{:>5} {} {a b}"


def test_unknown_names_are_named():
    missing = r"'nowhere' is missing or None; set it \(--cfg-options nowhere="
    with pytest.raises(ValueError, match=rf"'\{{nowhere\}}/x', but the top-level key {missing}"):
        stage_config(config(load_from="{nowhere}/x"), "student", "run")
    with pytest.raises(ValueError, match=missing):
        stage_config(config(model={"mask_head": "{nowhere}"}), "student", "run")
    with pytest.raises(ValueError, match=missing):
        stage_config(config(nowhere=None, load_from="{nowhere}/x"), "student", "run")
    # A key that nothing uses may be incomplete.
    stage_config(config(unused="{nowhere}"), "student", "run")


def test_a_structure_cannot_be_part_of_a_text():
    with pytest.raises(ValueError, match="'head' is a dict, but only a string or a number"):
        stage_config(config(load_from="{head}.pth"), "student", "run")


@pytest.mark.parametrize(
    ("changes", "circle"),
    [
        ({"load_from": "{load_from}"}, "load_from -> load_from"),
        ({"load_from": "x{load_from}"}, "load_from -> load_from"),
        ({"a": "{b}", "b": {"c": ["{a}"]}, "load_from": "{a}"}, "a -> b -> a"),
        ({"a": "{b}", "b": "{c}{b}", "c": "x", "load_from": "{a}"}, "b -> b"),
    ],
)
def test_self_references_are_refused(changes, circle):
    key = circle.split()[0]
    with pytest.raises(ValueError, match=rf"key '{key}' refers to itself in braces \({circle}\)"):
        stage_config(config(**changes), "student", "run")
