"""What a run shows: the report on its pseudo-labels, and the table that ends it."""

import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from nbseg.engine.data_sets import annotation_files
from nbseg.engine.pseudo_report import write_pseudo_report
from nbseg.engine.run_summary import print_metrics
from nbseg.engine.stages import stage_config
from nbseg.engine.work_dir import WorkDir


def test_the_table_has_percentages_of_each_stage(capsys):
    metrics = {
        "control": {"segm_mAP": 0.12345, "segm_mAP_50": 0.2, "segm_mAP_75": 0.1, "bbox_mAP": 1},
        "student": {"segm_mAP": 0.5, "segm_mAP_50": 1.0},
    }
    print_metrics(metrics, WorkDir(Path("work_dirs/demo")), {})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stage", "mask", "AP", "AP50", "AP75"] in rows
    assert ["control", "12.3", "20.0", "10.0"] in rows
    assert ["student", "50.0", "100.0", "nan"] in rows
    assert ["metrics:", "work_dirs/demo/metrics.json"] in rows


@pytest.mark.parametrize(
    ("student", "verdict"),
    [
        (0.345, "helped: the student's mask AP is 4.5 points above the control's."),
        (0.30004, "did not help: the student's mask AP equals the control's."),
        (0.275, "did not help: the student's mask AP is 2.5 points below the control's."),
    ],
)
def test_the_table_is_followed_by_its_conclusion(capsys, student, verdict):
    metrics = {"control": {"segm_mAP": 0.3}, "student": {"segm_mAP": student}}
    print_metrics(metrics, WorkDir(Path("work_dirs/demo")), {})
    assert f"The unlabeled images {verdict}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "metrics",
    [
        {"control": {"segm_mAP": 0.3}},
        {"control": {"bbox_mAP": 0.3}, "student": {"bbox_mAP": 0.4}},
        {"control": {"segm_mAP": float("nan")}, "student": {"segm_mAP": 0.4}},
        {"control": {"segm_mAP": -1}, "student": {"segm_mAP": -1}},
    ],
)
def test_no_conclusion_without_the_mask_ap_of_both(capsys, metrics):
    print_metrics(metrics, WorkDir(Path("work_dirs/demo")), {})
    assert "unlabeled images" not in capsys.readouterr().out


def test_no_conclusion_from_the_images_of_the_training(capsys, finished):
    control = stage_config(Config.fromfile(finished.config), "control", finished.work_dir)
    metrics = {"control": {"segm_mAP": 0.3}, "student": {"segm_mAP": 0.4}}
    print_metrics(metrics, WorkDir(finished.work_dir), {"control": control})
    assert "The unlabeled images helped" in capsys.readouterr().out
    (labeled,) = annotation_files(control.train_dataloader.dataset)
    control.test_dataloader.dataset.ann_file = str(labeled)
    print_metrics(metrics, WorkDir(finished.work_dir), {"control": control})
    assert "do not tell whether the unlabeled images helped" in capsys.readouterr().out


@pytest.mark.parametrize("error", [OSError(28, "No space left"), TypeError("bb"), KeyError("mask")])
def test_pictures_that_fail_do_not_fail_the_run(train, finished, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    metrics = {"student": {"segm_mAP": 0.5}}
    monkeypatch.setattr("nbseg.engine.pipeline.Pipeline.run", lambda pipeline: metrics)
    monkeypatch.setattr("nbseg.engine.run_summary.write_pictures", fail)
    printed = train(finished.config, "--work-dir", tmp_path / "run")
    assert f"warning: the pictures cannot be drawn: {type(error).__name__}: {error}\n" in printed
    assert ["student", "50.0"] in [line.split()[:2] for line in printed.splitlines()]


def test_no_table_without_a_trained_stage(capsys):
    print_metrics({}, WorkDir(Path("work_dirs/demo")), {})
    assert capsys.readouterr().out == ""


def test_the_gallery_goes_to_the_visualizer_if_asked(finished, tmp_path, log):
    work_dir = tmp_path / "run"
    shutil.copytree(finished.work_dir / "pseudo_labels", work_dir / "pseudo_labels")
    config = stage_config(Config.fromfile(finished.config), "label", finished.work_dir)
    config.report.to_visualizer = True
    config.visualizer.vis_backends = [dict(type="LocalVisBackend")]
    write_pseudo_report(config, WorkDir(work_dir))
    assert "report on the pseudo-labels: " in log.text
    assert (work_dir / "report" / "index.html").is_file()
    gallery = json.loads((work_dir / "report" / "analysis.json").read_text())["gallery"]
    expected = {
        f"pseudo_labels_{tab}_{place}.png"
        for tab, images in gallery.items()
        for place in range(1, len(images) + 1)
    }
    drawn = {path.name for path in work_dir.rglob("vis_image/*")}
    assert drawn == expected


def test_lost_images_are_a_warning_and_no_section_is_no_report(finished, tmp_path, log):
    work_dir = tmp_path / "run"
    shutil.copytree(finished.work_dir / "pseudo_labels", work_dir / "pseudo_labels")
    config = stage_config(Config.fromfile(finished.config), "label", finished.work_dir)
    config.report.image_folder = str(tmp_path)
    write_pseudo_report(config, WorkDir(work_dir))
    assert "the report on the pseudo-labels cannot be written: 3 of 3 images" in log.text
    config.report = None
    write_pseudo_report(config, WorkDir(work_dir))
    assert not (work_dir / "report").exists()
