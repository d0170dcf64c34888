"""The rows of tables 4 and 5: the documented commands name the data and schedules they say."""

import pytest
from documented_commands import REPOSITORY, documented_commands, parse
from mmengine.config import Config

from nbseg.engine.stage_config import resolve, stage_config

COCO, BDD100K = map(documented_commands, ("configs/coco/README.md", "configs/bdd100k/README.md"))
# Images on each side of the documented data sets, and the passes of the teacher.
LABELLED = {"1": 1183, "2": 2366, "5": 5914, "10": 11829, "30": 35504, "100": 118287}


def load(command):
    arguments = parse(command)
    config = Config.fromfile(REPOSITORY / arguments.config)
    config.merge_from_dict(arguments.cfg_options)
    return arguments, config


@pytest.mark.parametrize("command", COCO, ids=lambda command: command[2])
def test_coco(command):
    arguments, config = load(command)
    percent = arguments.work_dir.removeprefix("work_dirs/coco-").removesuffix("-strong")
    teacher, student = (stage_config(config, s, "run") for s in ("teacher", "student"))
    passes = teacher.train_cfg.max_iters * 16 / LABELLED[percent]
    assert passes == pytest.approx(12, rel=0.001)
    assert teacher.param_scheduler[1].milestones == pytest.approx(
        [teacher.train_cfg.max_iters * 2 / 3, teacher.train_cfg.max_iters * 11 / 12], abs=0.5
    )
    assert student.train_cfg.max_iters == 90000
    assert student.param_scheduler[1].milestones == [60000, 80000]
    strong = "StrongColorAugmentation" in str(teacher.train_dataloader)
    assert strong == arguments.work_dir.endswith("-strong")
    names = {
        "30": ("instances_train2017-val35k.json", "instances_train2017-val35k-unlabeled.json"),
        "100": ("instances_train2017.json", "instances_unlabeled2017.json"),
    }
    split = f"instances_train2017.1@{percent}"
    labelled, unlabelled = names.get(percent, (f"{split}.json", f"{split}-unlabeled.json"))
    assert resolve(config, "labels", "run").labels.labelled_json.endswith(f"/{labelled}")
    dataset = stage_config(config, "pseudo", "run").test_dataloader.dataset
    assert dataset.ann_file.endswith(f"/{unlabelled}")
    folder = "unlabeled2017" if percent == "100" else "train2017"
    assert dataset.data_prefix.img == f"data/coco/{folder}/"


def test_a_tenth_of_coco_is_repeated_as_in_the_released_code():
    _, config = load(next(c for c in COCO if c[2] == "work_dirs/coco-10"))
    labelled, pseudo = stage_config(config, "student", "run").train_dataloader.dataset.datasets
    assert labelled.times == 19 and labelled.dataset.ann_file != pseudo.ann_file


def test_bdd100k():
    supervised, ours, plain = (load(command) for command in BDD100K)
    assert [a.stages for a, _ in (supervised, ours, plain)] == [
        ["teacher"], ["teacher", "pseudo", "labels", "student"], ["student"]
    ]  # fmt: skip
    heads = [
        stage_config(config, "student", "run").model.roi_head.mask_head
        for _, config in (ours, plain)
    ]
    assert [head.type for head in heads] == ["NoiseTolerantMaskHead", "RLEMaskHead"]
    assert [h.loss_mask.type for h in heads] == ["BoundaryPreservingLoss", "CrossEntropyLoss"]
    teacher = stage_config(supervised[1], "teacher", "run")
    assert teacher.train_cfg.max_iters * 16 == 36 * 7000
    dataset = stage_config(plain[1], "student", "run").train_dataloader.dataset.datasets[1]
    assert dataset.ann_file == "work_dirs/bdd100k/pseudo/pseudo_labels.json"
    assert dataset.data_prefix.img == "data/bdd100k/images/100k/train/"
