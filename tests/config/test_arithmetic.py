"""Arithmetic in a config's braces."""

import pytest
from mmengine.config import Config

from nbseg.config.arithmetic import evaluate
from nbseg.engine.stages import stage_config

NUMBERS = {"labeled": 595, "percent": 2.5, "name": "coco", "flag": True}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("64 * labeled / 8", 4760.0),
        ("round(7 / 8 * 4760)", 4165),
        (" labeled - -5 + 2 * (3 + percent) ", 611.0),
        ("max(1, round(0.2))", 1),
        ("1e3 + labeled", 1595.0),
    ],
)
def test_values(expression, expected):
    value = evaluate(expression, NUMBERS.__getitem__)
    assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("2 * name", "expected a number for the key 'name', found 'coco'"),
        ("2 * flag", "expected a number for the key 'flag', found True"),
        ("2 ** labeled", "an expression may only contain numbers"),
        ("open(labeled)", "an expression may only contain numbers"),
        ("labeled.real + 1", "an expression may only contain numbers"),
        ("labeled / 0", "division by zero"),
        ("labeled +", "invalid syntax"),
        ("round()", "round"),
    ],
)
def test_refusals(expression, message):
    with pytest.raises(ValueError, match=message) as refusal:
        evaluate(expression, NUMBERS.__getitem__)
    assert expression in str(refusal.value)


def test_in_a_config_options_reach_what_is_calculated():
    config = Config(
        {
            "percent": 5,
            "labeled": "{round(2975 * percent / 100)}",
            "iterations": "{round(64 * labeled / 8)}",
            "train_cfg": {"max_iters": "{iterations}"},
            "param_scheduler": [{"milestones": ["{round(7 / 8 * iterations)}"]}],
            "load_from": "run/{2 * percent}-{percent}/",
            "teacher": {"iterations": 80},
        }
    )
    config.merge_from_dict({"percent": 20})
    student = stage_config(config, "student", "run")
    assert student.train_cfg.max_iters == 4760
    assert student.param_scheduler[0].milestones == [4165]
    assert student.load_from == "run/40-20/"
    assert stage_config(config, "teacher", "run").param_scheduler[0].milestones == [70]
    config.percent = "{iterations}"
    circle = r"iterations -> labeled -> percent -> iterations"
    with pytest.raises(ValueError, match=rf"'iterations' refers to itself in braces \({circle}\)"):
        stage_config(config, "student", "run")
