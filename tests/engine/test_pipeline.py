"""The stages end to end: artefacts, what is kept, refused, redone and resumed."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from pycocotools.coco import COCO

from nbseg.engine.errors import StageError
from nbseg.engine.manifest import Manifest
from nbseg.engine.stage_config import STAGES, stage_config
from nbseg.files import file_hash, write_json
from nbseg.pseudo.predictions import PredictionStore, PredictionWriter

pytestmark = pytest.mark.usefixtures("quick")

TRAINED = ("supervised", "teacher", "student")


def manifest(run, stage):
    folder = "pseudo" if stage == "labels" else stage
    return Manifest(run.work_dir / folder / f"{stage}.manifest.json")


def as_if_killed(run, stage):
    """Make a finished stage look as if it had been killed before its end."""
    record = manifest(run, stage)
    record.content["finished"] = False
    write_json(record.path, record.content)
    for file in run.work_dir.glob(f"{stage}/{stage}.pth"):
        file.unlink()


def kept_and_started(printed):
    """The stages that a run says it kept, and those it says it started."""
    lines = printed.splitlines()
    return tuple(
        [stage for stage in STAGES if any(line.startswith(f"[{stage}] {word}") for line in lines)]
        for word in ("finished before, kept", "starts")
    )


def logged_steps(folder):
    """The training iterations that the logs of a stage speak of, latest run first."""
    runs = sorted(folder.glob("*/vis_data/scalars.json"), reverse=True)
    return [
        [
            entry["step"]
            for entry in map(json.loads, run.read_text().splitlines())
            if "loss" in entry
        ]
        for run in runs
    ]


def content_of(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, file_hash(path))
        for path in folder.rglob("*")
        if path.is_file() and "splits" not in path.parts and "report" not in path.parts
    }


def test_all_stages_but_the_oracle_ran(finished):
    assert kept_and_started(finished.printed) == ([], list(STAGES[:-1]))
    for stage in STAGES[:-1]:
        assert manifest(finished, stage).finished
    assert not (finished.work_dir / "oracle").exists()


@pytest.mark.parametrize("stage", [*TRAINED, "pseudo"])
def test_a_stage_leaves_the_plain_config_it_ran(finished, stage):
    path = finished.work_dir / stage / "config.py"
    plain = Config.fromfile(path)
    assert not set(plain) & {*STAGES, "split", "report"}
    assert "{" not in path.read_text().replace("{}", "").replace("dict(", "")
    expected = stage_config(Config.fromfile(finished.config), stage, finished.work_dir)
    assert plain.model == expected.model
    assert plain.work_dir == str(finished.work_dir / stage)


@pytest.mark.parametrize("stage", TRAINED)
def test_a_checkpoint_carries_its_config_and_no_optimiser(finished, stage):
    folder = finished.work_dir / stage
    checkpoint = torch.load(folder / f"{stage}.pth", weights_only=False)
    assert set(checkpoint) == {"state_dict", "meta"}
    assert checkpoint["meta"]["iter"] == {"supervised": 5, "teacher": 2, "student": 3}[stage]
    own = Config.fromstring(checkpoint["meta"]["cfg"], ".py")
    assert own.model == Config.fromfile(folder / "config.py").model
    coarse = [name for name in checkpoint["state_dict"] if "coarse" in name]
    assert bool(coarse) == (stage == "student")
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())


def test_the_control_arm_trains_as_long_as_teacher_and_student(finished):
    assert logged_steps(finished.work_dir / "supervised") == [[1, 2, 3, 4, 5]]
    assert logged_steps(finished.work_dir / "teacher") == [[1, 2]]
    assert logged_steps(finished.work_dir / "student") == [[1, 2, 3]]


def test_every_unlabelled_image_is_predicted(finished):
    hidden = json.loads(
        (finished.work_dir / "splits" / "instances_train.0@50-unlabeled.json").read_text()
    )
    images = {image["id"]: image["file_name"] for image in hidden["images"]}
    assert len(images) == 3
    stored = list(PredictionStore(finished.work_dir / "pseudo" / "predictions"))
    assert {image.image_id: image.file_name for image in stored} == images
    for image in stored:
        assert (image.height, image.width) == (64, 64)
        assert len(image.scores) > 0
        assert image.soft_masks.shape == (len(image.scores), 28, 28)
        assert image.soft_masks.dtype == np.uint8


def test_pseudo_labels_are_valid_coco(finished):
    coco = COCO(str(finished.work_dir / "pseudo" / "pseudo_labels.json"))
    labelled = json.loads((finished.work_dir / "splits" / "instances_train.0@50.json").read_text())
    assert len(coco.imgs) == 3 and coco.anns
    assert not set(coco.imgs) & {image["id"] for image in labelled["images"]}
    assert coco.dataset["categories"] == labelled["categories"]
    for annotation in coco.anns.values():
        assert coco.annToMask(annotation).sum() == annotation["area"] > 0
        assert 0.05 <= annotation["score"] <= 1


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
        assert values == manifest(finished, stage).content["metrics"]
        results = json.loads((finished.work_dir / stage / "predictions.segm.json").read_text())
        assert {result["image_id"] for result in results} <= {1, 2}
    assert "supervised (control)" in finished.printed


def test_pictures_are_drawn(finished):
    report = finished.work_dir / "report"
    assert {"index.html", "analysis.json"} <= {path.name for path in report.iterdir()}
    pseudo_labels = {path.name for path in (report / "pseudo_labels").iterdir()}
    assert len(pseudo_labels) == 3
    for stage in TRAINED:
        pictures = {path.name for path in (report / f"{stage}_predictions").iterdir()}
        assert pictures == {"000000.png", "000001.png"}


def test_a_second_call_keeps_everything(finished, train):
    before = content_of(finished.work_dir)
    printed = train(finished.config, "--work-dir", finished.work_dir, "--resume")
    assert kept_and_started(printed) == (list(STAGES[:-1]), [])
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
    assert "optim_wrapper.optimizer.lr: was 0.002, is 0.5" in message
    assert "Pass --redo teacher" in message
    assert content_of(finished.work_dir) == before


@pytest.mark.parametrize(
    ("stage", "changes", "key"),
    [
        (
            "supervised",
            {"teacher.optim_wrapper.optimizer.lr": 1.0},
            "optimizer.lr",
        ),
        ("pseudo", {"tta_model.tta_cfg.max_per_img": 3}, "model.tta_cfg.max_per_img"),
        ("labels", {"labels.floor": 0.2}, "labels.floor: was 0.05, is 0.2"),
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
        {"pseudo.test_cfg.images_per_part": 1},
    ],
)
def test_what_matters_to_no_stage(finished, make_pipeline, changes):
    make_pipeline(finished, changes)


def test_a_changed_input_is_refused_by_name(moved, make_pipeline):
    path = moved.work_dir / "pseudo" / "pseudo_labels.json"
    content = json.loads(path.read_text())
    content["annotations"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="stage student in .*annotations 1 .*pseudo_labels.json"):
        make_pipeline(moved).run()


def test_redo_runs_a_stage_and_what_depends_on_it(moved, train):
    before = file_hash(moved.work_dir / "teacher" / "teacher.pth")
    printed = train(
        moved.config,
        *("--work-dir", moved.work_dir, "--redo", "labels", "--resume"),
        *("--cfg-options", "labels.box_threshold=0.06"),
    )
    assert kept_and_started(printed) == (["supervised", "teacher", "pseudo"], ["labels", "student"])
    assert file_hash(moved.work_dir / "teacher" / "teacher.pth") == before
    info = json.loads((moved.work_dir / "pseudo" / "pseudo_labels.json").read_text())["info"]
    assert {one["box_threshold"] for one in info["classes"].values()} == {0.06}
    # From the start, in spite of --resume.
    assert logged_steps(moved.work_dir / "student")[0] == [1, 2, 3]


def test_redo_goes_down_the_chain(moved, make_pipeline):
    chain = {"teacher", "pseudo", "labels", "student", "oracle"}
    assert make_pipeline(moved, redo=["teacher"]).redo == chain
    assert make_pipeline(moved, redo=["supervised"]).redo == {"supervised"}
    assert make_pipeline(moved, redo=["pseudo"]).redo == {"pseudo", "labels", "student"}


def keep_one_image(run):
    """Leave one image in the store, marked by a score that no model gives."""
    folder = run.work_dir / "pseudo" / "predictions"
    first = next(iter(PredictionStore(folder)))
    for part in folder.glob("part-*"):
        part.unlink()
    writer = PredictionWriter(folder)
    writer.append([first._replace(scores=np.full_like(first.scores, 2))])
    writer.flush()
    (folder / ".part-000-000001.4321.npz").write_bytes(b"half of a part")
    return first.image_id


def marked_images(run):
    store = PredictionStore(run.work_dir / "pseudo" / "predictions")
    assert len(store.file_names()) == len(list(store)) == 3
    return [image.image_id for image in store if (image.scores == 2).any()]


def test_a_killed_prediction_goes_on_with_the_missing_images(moved, make_pipeline):
    as_if_killed(moved, "pseudo")
    image_id = keep_one_image(moved)
    original = {
        image.image_id: image
        for image in PredictionStore(moved.work_dir / "pseudo" / "predictions")
    }
    make_pipeline(moved, stages=["pseudo"], resume="auto").run()
    assert manifest(moved, "pseudo").finished
    assert marked_images(moved) == [image_id]
    assert set(original) == {image_id}


def test_other_images_under_known_ids_are_refused(moved, make_pipeline):
    as_if_killed(moved, "pseudo")
    folder = moved.work_dir / "pseudo" / "predictions"
    first = next(iter(PredictionStore(folder)))
    for part in folder.glob("part-*"):
        part.unlink()
    writer = PredictionWriter(folder)
    writer.append([first._replace(file_name="another.png")])
    writer.flush()
    with pytest.raises(ValueError, match="has predictions of another.png under that id"):
        make_pipeline(moved, stages=["pseudo"], resume="auto").run()


def test_without_resume_prediction_starts_again(moved, make_pipeline):
    as_if_killed(moved, "pseudo")
    keep_one_image(moved)
    make_pipeline(moved, stages=["pseudo"]).run()
    assert marked_images(moved) == []


def test_predictions_of_another_teacher_are_not_continued(moved, make_pipeline):
    as_if_killed(moved, "pseudo")
    keep_one_image(moved)
    checkpoint = torch.load(moved.work_dir / "teacher" / "teacher.pth", weights_only=False)
    checkpoint["meta"]["another"] = True
    torch.save(checkpoint, moved.work_dir / "teacher" / "teacher.pth")
    with pytest.raises(ValueError, match="stage pseudo in .*teacher checkpoint.*--redo pseudo"):
        make_pipeline(moved, stages=["pseudo"], resume="auto").run()


def unfinished_student(run):
    """Leave the student after its first iteration."""
    as_if_killed(run, "student")
    folder = run.work_dir / "student"
    for iteration in (2, 3):
        (folder / f"iter_{iteration}.pth").unlink()
    (folder / "last_checkpoint").write_text(str(folder / "iter_1.pth"))
    return folder


def test_resume_continues_a_training_from_its_last_checkpoint(moved, make_pipeline):
    folder = unfinished_student(moved)
    metrics = make_pipeline(moved, resume="auto").run()
    assert logged_steps(folder) == [[2, 3], [1, 2, 3]]
    assert manifest(moved, "student").finished
    assert torch.load(folder / "student.pth", weights_only=False)["meta"]["iter"] == 3
    assert metrics == json.loads((moved.work_dir / "metrics.json").read_text())


def test_resume_from_a_given_checkpoint(moved, make_pipeline):
    folder = unfinished_student(moved)
    checkpoint = folder / "iter_1.pth"
    checkpoint = checkpoint.rename(moved.work_dir / "somewhere.pth")
    make_pipeline(moved, resume=str(checkpoint)).run()
    assert logged_steps(folder)[0] == [2, 3]


def test_without_resume_a_training_starts_again(moved, make_pipeline):
    folder = unfinished_student(moved)
    make_pipeline(moved).run()
    assert logged_steps(folder)[0] == [1, 2, 3]


def test_a_changed_training_is_not_continued(moved, make_pipeline):
    unfinished_student(moved)
    pipeline = make_pipeline(moved, {"mask_loss.gain": 2.0}, resume="auto")
    with pytest.raises(ValueError, match="stage student in .*loss_mask.gain: was 1.0, is 2.0"):
        pipeline.run()


def test_labels_that_failed_are_made_with_other_settings(moved, make_pipeline):
    changes = {"labels.floor": 0.99}
    with pytest.raises(ValueError, match="no pseudo-label remains.*labels.floor"):
        make_pipeline(moved, changes, stages=["labels"], redo=["labels"]).run()
    assert not manifest(moved, "labels").finished
    make_pipeline(moved, stages=["labels"], resume="auto").run()
    assert manifest(moved, "labels").finished


def test_own_files_skip_the_stages_that_would_make_them(finished, tmp_path, make_pipeline):
    own = {"teacher.checkpoint": str(finished.work_dir / "teacher" / "teacher.pth")}
    assert make_pipeline(finished, own).stages == ["supervised", "pseudo", "labels", "student"]
    own = {"labels.ann_file": str(finished.work_dir / "pseudo" / "pseudo_labels.json")}
    assert make_pipeline(finished, own).stages == ["supervised", "teacher", "student"]


def test_a_bare_folder_of_images_and_an_own_teacher(finished, tmp_path, train):
    """Labelled images with a json of their own, any unlabelled images beside, without a json."""
    folder = finished.data / "val"
    work_dir = tmp_path / "run"
    printed = train(
        finished.config,
        *("--work-dir", work_dir, "--stages", "teacher,pseudo,labels,student", "--cfg-options"),
        *("split=None", f"report.image_folder={folder}/"),
        f"labelled_json={finished.work_dir}/splits/instances_train.0@50.json",
        f"teacher.checkpoint={finished.work_dir}/teacher/teacher.pth",
        "pseudo.test_dataloader.dataset.type=ImageFolderDataset",
        f"pseudo.test_dataloader.dataset.data_prefix.img={folder}/",
        "pseudo.test_dataloader.dataset.ann_file=",
        f"pseudo_dataset.data_prefix.img={folder}/",
    )
    assert kept_and_started(printed) == ([], ["pseudo", "labels", "student"])
    coco = COCO(str(work_dir / "pseudo" / "pseudo_labels.json"))
    assert [image["file_name"] for image in coco.imgs.values()] == ["000000.png", "000001.png"]
    assert coco.anns
    assert list(json.loads((work_dir / "metrics.json").read_text())) == ["student"]
    assert not (work_dir / "splits").exists()
    analysis = json.loads((work_dir / "report" / "analysis.json").read_text())
    assert analysis["summary"]["images"] == 2
    assert analysis["noise"] is None


def test_unlabelled_images_that_are_labelled_are_refused(finished, tmp_path, make_pipeline):
    run = SimpleNamespace(**{**vars(finished), "work_dir": tmp_path / "run"})
    labelled = f"{finished.work_dir}/splits/instances_train.0@50.json"
    folder = tmp_path / "images"
    folder.mkdir()
    images = json.loads(Path(labelled).read_text())["images"]
    shutil.copy(finished.data / "train" / images[0]["file_name"], folder / "a_copy.png")
    shutil.copy(finished.data / "val" / "000000.png", folder / "another.png")
    changes = {
        "split": None,
        "report": None,
        "labelled_json": labelled,
        "teacher.checkpoint": f"{finished.work_dir}/teacher/teacher.pth",
        "pseudo.test_dataloader.dataset.type": "ImageFolderDataset",
        "pseudo.test_dataloader.dataset.data_prefix.img": f"{folder}/",
        "pseudo.test_dataloader.dataset.ann_file": "",
    }
    message = rf"1 unlabelled images are labelled ones: .*{images[0]['file_name']} = .*a_copy.png"
    with pytest.raises(StageError, match=message):
        make_pipeline(run, changes, stages=["pseudo"]).run()
    assert not (run.work_dir / "pseudo").exists()
    make_pipeline(run, {**changes, "allow_overlap": True}, stages=["pseudo"]).run()
    assert len(list(PredictionStore(run.work_dir / "pseudo" / "predictions"))) == 2


def test_the_oracle_trains_with_the_hidden_labels(moved, make_pipeline):
    metrics = make_pipeline(moved, stages=["oracle"]).run()
    assert list(metrics) == [*TRAINED, "oracle"]
    plain = Config.fromfile(moved.work_dir / "oracle" / "config.py")
    labelled, hidden = (part.ann_file for part in plain.train_dataloader.dataset.datasets)
    assert labelled == str(moved.work_dir / "splits" / "instances_train.0@50.json")
    assert hidden == str(moved.work_dir / "splits" / "instances_train.0@50-unlabeled.json")
    assert plain.model.roi_head.mask_head.type == "NoiseTolerantMaskHead"


def test_another_models_checkpoint_is_no_teacher(finished, tmp_path, make_pipeline):
    changes = {"teacher.checkpoint": str(finished.work_dir / "student" / "student.pth")}
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    with pytest.raises(ValueError, match="student.pth is not a checkpoint of"):
        make_pipeline(run, changes, stages=["pseudo"]).run()


def test_what_another_stage_makes_must_be_there(finished, tmp_path, make_pipeline):
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    with pytest.raises(FileNotFoundError, match="stage pseudo needs .*teacher.pth.*run the stage"):
        make_pipeline(run, stages=["pseudo"]).run()
    with pytest.raises(FileNotFoundError, match="stage student needs .*pseudo_labels.json"):
        make_pipeline(run, stages=["student"]).run()


def test_missing_data_is_refused_before_a_stage_starts(finished, tmp_path, make_pipeline):
    run = type(finished)(**{**vars(finished), "work_dir": tmp_path / "run"})
    with pytest.raises(StageError, match="no annotation file .*nowhere.*correct data_root"):
        make_pipeline(run, {"data_root": str(tmp_path / "nowhere")}).run()
    with pytest.raises(FileNotFoundError, match="nowhere.*test_dataloader of stage supervised"):
        make_pipeline(run, {"val_images": str(tmp_path / "nowhere")}).run()
    assert not (run.work_dir / "supervised").exists()


@pytest.mark.parametrize("options", [{"stages": ["student", "test"]}, {"redo": ["test"]}])
def test_unknown_stages_are_named(finished, make_pipeline, options):
    with pytest.raises(ValueError, match=r"unknown stages \['test'\]; there are supervised, "):
        make_pipeline(finished, **options)


def test_options_that_cannot_work_are_refused(finished, make_pipeline):
    with pytest.raises(ValueError, match="auto_scale_lr.base_batch_size"):
        make_pipeline(finished, auto_scale_lr=True)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="--amp needs a GPU"):
            make_pipeline(finished, amp=True)
