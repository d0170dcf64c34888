"""The table that ends a run."""

from pathlib import Path

from nbseg.engine.report import print_metrics


def test_the_table_has_percentages_of_each_stage(capsys):
    metrics = {
        "supervised": {"segm_mAP": 0.12345, "segm_mAP_50": 0.2, "segm_mAP_75": 0.1, "bbox_mAP": 1},
        "student": {"segm_mAP": 0.5, "segm_mAP_50": 1.0},
    }
    print_metrics(metrics, Path("work_dirs/demo"))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stage", "mask", "AP", "AP50", "AP75"] in rows
    assert ["supervised", "(control)", "12.3", "20.0", "10.0"] in rows
    assert ["student", "50.0", "100.0", "nan"] in rows
    assert ["metrics:", "work_dirs/demo/metrics.json"] in rows


def test_no_table_without_a_trained_stage(capsys):
    print_metrics({}, Path("work_dirs/demo"))
    assert capsys.readouterr().out == ""
