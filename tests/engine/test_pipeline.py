"""What the stages leave, end to end."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from run_records import TRAINED, kept_and_started, logged_steps, manifest

from nbseg.engine.stages import DEFAULT_STAGES, STAGES, stage_config
from nbseg.engine.work_dir import WorkDir
from nbseg.pseudo.predictions import PredictionStore

pytestmark = pytest.mark.usefixtures("one_thread")


def test_all_stages_but_the_oracle_ran(finished):
    assert kept_and_started(finished.printed) == ([], list(DEFAULT_STAGES))
    for stage in DEFAULT_STAGES:
        assert manifest(finished, stage).finished
    assert not (finished.work_dir / "oracle").exists()


@pytest.mark.parametrize("stage", [*TRAINED, "predict"])
def test_a_stage_leaves_the_plain_config_it_ran(finished, stage):
    path = WorkDir(finished.work_dir).config(stage)
    plain = Config.fromfile(path)
    assert not set(plain) & {*STAGES, "split", "report"}
    assert "{" not in path.read_text().replace("{}", "").replace("dict(", "")
    expected = stage_config(Config.fromfile(finished.config), stage, finished.work_dir)
    assert plain.model == expected.model
    assert plain.work_dir == str(path.parent)


@pytest.mark.parametrize("stage", TRAINED)
def test_a_checkpoint_carries_its_config_and_no_optimizer(finished, stage):
    folder = finished.work_dir / stage
    checkpoint = torch.load(folder / f"{stage}.pth", weights_only=False)
    assert set(checkpoint) == {"state_dict", "meta"}
    assert checkpoint["meta"]["iter"] == {"control": 5, "teacher": 2, "student": 3}[stage]
    own = Config.fromstring(checkpoint["meta"]["cfg"], ".py")
    assert own.model == Config.fromfile(folder / "config.py").model
    coarse = [name for name in checkpoint["state_dict"] if "coarse" in name]
    assert bool(coarse) == (stage == "student")
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())


def test_the_control_arm_trains_as_long_as_teacher_and_student(finished):
    assert logged_steps(finished.work_dir / "control") == [[1, 2, 3, 4, 5]]
    assert logged_steps(finished.work_dir / "teacher") == [[1, 2]]
    assert logged_steps(finished.work_dir / "student") == [[1, 2, 3]]


def test_every_unlabeled_image_is_predicted(finished):
    hidden = json.loads(
        (finished.work_dir / "splits" / "instances_train.0@50-unlabeled.json").read_text()
    )
    images = {image["id"]: image["file_name"] for image in hidden["images"]}
    assert len(images) == 3
    stored = list(PredictionStore(finished.work_dir / "pseudo_labels" / "predictions"))
    assert {image.image_id: image.file_name for image in stored} == images
    for image in stored:
        assert (image.height, image.width) == (64, 64)
        assert len(image.scores) > 0
        assert image.soft_masks.shape == (len(image.scores), 28, 28)
        assert image.soft_masks.dtype == np.uint8


def test_pseudo_labels_are_valid_coco(finished):
    coco = COCO(str(finished.work_dir / "pseudo_labels" / "pseudo_labels.json"))
    labeled = json.loads((finished.work_dir / "splits" / "instances_train.0@50.json").read_text())
    assert len(coco.imgs) == 3 and coco.anns
    assert not set(coco.imgs) & {image["id"] for image in labeled["images"]}
    assert coco.dataset["categories"] == labeled["categories"]
    for annotation in coco.anns.values():
        assert coco.annToMask(annotation).sum() == annotation["area"] > 0
        assert 0.05 <= annotation["score"] <= 1


def pycocotools_mask_ap(finished, results):
    """The mask AP of a COCO result file on the validation set, by the original evaluation."""
    truth = COCO(str(finished.data / "annotations" / "instances_val.json"))
    predictions = json.loads(results.read_text())
    if not predictions:
        return 0.0
    evaluation = COCOeval(truth, truth.loadRes(predictions), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[0]


def test_metrics_are_those_of_the_test_unrounded(finished):
    metrics = json.loads((finished.work_dir / "metrics.json").read_text())
    assert list(metrics) == list(TRAINED)
    names = {
        f"{kind}_{name}"
        for kind in ("bbox", "segm", "boundary")
        for name in ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
    }
    for stage, values in metrics.items():
        assert set(values) == names
        assert all(value == -1 or 0 <= value <= 1 for value in values.values())
        results = finished.work_dir / stage / "predictions.segm.json"
        assert values["segm_mAP"] == pytest.approx(pycocotools_mask_ap(finished, results), abs=1e-9)
    assert "\ncontrol " in finished.printed


def test_pictures_are_drawn(finished):
    report = finished.work_dir / "report"
    assert {"index.html", "analysis.json"} <= {path.name for path in report.iterdir()}
    pseudo_labels = {path.name for path in (report / "pseudo_labels").iterdir()}
    assert len(pseudo_labels) == 3
    for stage in TRAINED:
        pictures = {path.name for path in (report / f"{stage}_predictions").iterdir()}
        assert pictures == {"000000.png", "000001.png"}


def test_own_files_skip_the_stages_that_would_make_them(finished, tmp_path, make_pipeline):
    own = {"teacher.checkpoint": str(finished.work_dir / "teacher" / "teacher.pth")}
    assert make_pipeline(finished, own).stages == ["control", "predict", "label", "student"]
    own = {"label.ann_file": str(finished.work_dir / "pseudo_labels" / "pseudo_labels.json")}
    assert make_pipeline(finished, own).stages == ["control", "teacher", "student"]


def test_a_bare_folder_of_images_and_an_own_teacher(finished, tmp_path, train):
    """Labeled images with a json of their own, any unlabeled images beside, without a json."""
    folder = finished.data / "val"
    work_dir = tmp_path / "run"
    printed = train(
        finished.config,
        *("--work-dir", work_dir, "--stages", "teacher,predict,label,student", "--cfg-options"),
        *("split=None", f"unlabeled_folder={folder}/"),
        f"labeled_json={finished.work_dir}/splits/instances_train.0@50.json",
        f"teacher.checkpoint={finished.work_dir}/teacher/teacher.pth",
        "predict.test_dataloader.dataset.type=ImageFolderDataset",
        "predict.test_dataloader.dataset.ann_file=",
    )
    assert kept_and_started(printed) == ([], ["predict", "label", "student"])
    coco = COCO(str(work_dir / "pseudo_labels" / "pseudo_labels.json"))
    assert [image["file_name"] for image in coco.imgs.values()] == ["000000.png", "000001.png"]
    assert coco.anns
    assert list(json.loads((work_dir / "metrics.json").read_text())) == ["student"]
    assert not (work_dir / "splits").exists()
    analysis = json.loads((work_dir / "report" / "analysis.json").read_text())
    assert analysis["summary"]["images"] == 2
    assert analysis["noise"] is None


def test_the_oracle_trains_with_the_hidden_labels(moved, make_pipeline):
    metrics = make_pipeline(moved, stages=["oracle"]).run()
    assert list(metrics) == [*TRAINED, "oracle"]
    plain = Config.fromfile(moved.work_dir / "oracle" / "config.py")
    labeled, hidden = (part.ann_file for part in plain.train_dataloader.dataset.datasets)
    assert labeled == str(moved.work_dir / "splits" / "instances_train.0@50.json")
    assert hidden == str(moved.work_dir / "splits" / "instances_train.0@50-unlabeled.json")
    assert plain.model.roi_head.mask_head.type == "NoiseTolerantMaskHead"
