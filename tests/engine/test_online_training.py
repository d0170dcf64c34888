"""A student that trains online, in the place of one that reads pseudo-labels."""

import copy
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from run_records import as_if_killed, manifest

from nbseg.checkpoint import read_checkpoint
from nbseg.config.plain_config import student_config
from nbseg.engine.config_checks import check_batches, check_config
from nbseg.engine.stages import stage_config
from nbseg.errors import StageError

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # MMEngine names a run by the second; two tests may share one.
    pytest.mark.filterwarnings("ignore:.*instance named of"),
]


@pytest.fixture(scope="module")
def changes(repository):
    """What a derived config adds. A network after three steps has low scores everywhere."""
    added = Config.fromfile(repository / "configs/_base_/online.py").to_dict()
    added["online"]["method"] |= {"floor": 0.05, "ignore_score": 0.05}
    # The average would hardly differ from the student after three small steps.
    added["online"]["optim_wrapper"] = {"optimizer": {"lr": 1e-2}}
    load = [{"type": "LoadImageFromFile"}, "{load_annotations}", "{random_flip}"]
    added["labeled_steps"] = [*load, {"type": "Compose", "transforms": "{strong_steps}"}]
    added["shared_steps"] = ["{random_flip}"]
    return added


@pytest.fixture
def online(finished, changes, tmp_path):
    """A run with the finished teacher, and a config whose student trains online."""
    work_dir = tmp_path / "run"
    for folder in ("teacher", "splits"):
        shutil.copytree(finished.work_dir / folder, work_dir / folder)
    own = {"work_dir": work_dir, "changes": copy.deepcopy(changes)}
    return SimpleNamespace(**{**vars(finished), **own})


def state_of(path):
    return read_checkpoint(path)["state_dict"]


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def part_of(state, part):
    return {k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(f"{part}.")}


def test_an_online_student_is_published_as_a_plain_detector_and_resumes_exactly(
    online, make_pipeline, test, tmp_path
):
    pipeline = make_pipeline(online, stages=["teacher", "predict", "label", "student"])
    assert pipeline.stages == ["teacher", "student"]
    metrics = pipeline.run()
    assert not (online.work_dir / "pseudo_labels").exists()
    folder = online.work_dir / "student"

    # The published weights are the teacher's, without a prefix, and they were tested.
    published, last = read_checkpoint(folder / "student.pth"), state_of(folder / "iter_3.pth")
    assert_same(published["state_dict"], part_of(last, "teacher"))
    key = "roi_head.bbox_head.fc_cls.weight"
    assert not torch.equal(last[f"teacher.{key}"], last[f"student.{key}"])
    assert Config.fromstring(published["meta"]["cfg"], ".py").model.type == "MaskRCNN"
    ran = Config.fromfile(folder / "config.py")
    assert ran.model.type == "OnlineTeacher"
    assert student_config(ran, "logs").model.type == "MaskRCNN"
    arguments = ("--work-dir", tmp_path / "logs", "--out", tmp_path / "results")
    printed = test(folder / "config.py", folder / "student.pth", *arguments)
    assert f"coco/bbox_mAP_50: {metrics['student']['bbox_mAP_50']:.6f}" in printed
    results, expected = (
        json.loads(path.read_text())
        for path in (tmp_path / "results.segm.json", folder / "predictions.segm.json")
    )
    assert results == expected and results

    # The log has what each interval labeled.
    (log,) = folder.glob("*/vis_data/scalars.json")
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    shown = {"pseudo_per_image", "ignored_per_image", "box_threshold", "pixel_threshold"}
    assert shown | {"unsup_loss_mask", "sup_loss_mask"} <= set(steps[0])
    assert sum(step.get("pseudo_per_image", 0) for step in steps) > 0

    # A killed training goes on with the same teacher, student and counts.
    first = state_of(folder / "iter_1.pth")
    assert float(first["thresholds.images"]) == 1 and float(first["loss_limit.mean"]) > 0
    assert float(last["thresholds.images"]) == pytest.approx(1 + 0.99 + 0.99**2)
    as_if_killed(online, "student")
    for number in (2, 3):
        (folder / f"iter_{number}.pth").unlink()
    (folder / "last_checkpoint").write_text(str(folder / "iter_1.pth"))
    make_pipeline(online, stages=["student"], resume="auto").run()
    assert_same(state_of(folder / "iter_3.pth"), last)
    assert_same(state_of(folder / "student.pth"), published["state_dict"])
    assert "teacher checkpoint" in manifest(online, "student").content["inputs"]


def test_unlabeled_images_need_no_annotations_and_must_not_be_labeled(online, make_pipeline):
    (unlabeled,) = (online.work_dir / "splits").glob("*-unlabeled.json")
    (labeled,) = set((online.work_dir / "splits").glob("*.json")) - {unlabeled}
    bare = unlabeled.with_name("bare.json")
    content = json.loads(unlabeled.read_text())
    bare.write_text(json.dumps({**content, "annotations": []}))
    lines = make_pipeline(online, {"unlabeled_json": str(bare)}, stages=["student"]).prepare()
    assert f"unlabeled set {bare}: 3 images" in lines
    assert not any(line.startswith("warning") and "bare.json" in line for line in lines)
    both = make_pipeline(online, {"unlabeled_json": str(labeled)}, stages=["student"])
    with pytest.raises(StageError, match=r"3 image\(s\) of .* also in the labeled set"):
        both.prepare()


def test_only_the_student_trains_online(finished, changes):
    config = Config.fromfile(finished.config)
    config.merge_from_dict(copy.deepcopy(changes))
    config.custom_hooks = [dict(type="EmptyCacheHook")]
    plain = stage_config(config, "student", "run")
    assert [hook.type for hook in plain.custom_hooks] == ["EmptyCacheHook", "OnlineTeacherHook"]
    assert plain.model.type == "OnlineTeacher" and plain.load_from == "run/teacher/teacher.pth"
    assert not {"method", "hook", "online"} & set(plain)
    check_batches("student", plain)
    plain.train_dataloader.sampler = dict(type="InfiniteSampler")
    with pytest.raises(ValueError, match="each batch needs labeled and unlabeled images"):
        check_batches("student", plain)
    for stage in ("teacher", "control", "oracle"):
        assert stage_config(config, stage, "run").model.type == "MaskRCNN"
    check_config(config, stage_config(config, "label", "run"))
    hook = config.online.pop("hook")
    with pytest.raises(ValueError, match="OnlineTeacher.* needs a hook that updates the teacher"):
        stage_config(config, "student", "run")
    config.online.update(hook=hook, methods=config.online.pop("method"))
    with pytest.raises(
        ValueError, match="section online has the unknown key 'methods'; did you mean"
    ):
        check_config(config, stage_config(config, "label", "run"))
