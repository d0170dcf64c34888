"""Tables 4 and 5: the documented commands run, on the data and schedules that the pages say."""

import json
from collections import Counter

import pytest
from documented_commands import documented_commands
from official_trees import write_bdd100k, write_coco
from tiny_runs import SMALL, evaluations, loaded, plain, pseudo_labeled, run

from nbseg.datasets.converters.bdd100k import convert_bdd100k
from nbseg.datasets.converters.coco2017 import convert_coco
from nbseg.engine.stages import stage_config

COCO, BDD100K = map(documented_commands, ("configs/coco/README.md", "configs/bdd100k/README.md"))
# Images on each side of the documented data sets, and the passes of the teacher.
LABELED = {"1": 1182, "2": 2365, "5": 5914, "10": 11828, "30": 35504, "100": 118287}
# Among the eighty classes of a network that has learnt nothing any score is a low one.
NO_THRESHOLD = {"label.box_threshold": 0.001, "model.test_cfg.rcnn.score_thr": 0.001}


@pytest.fixture(scope="module")
def coco(tmp_path_factory, one_thread):
    """Work directories of the rows of table 4; of a hundred images one is labeled at 1%."""
    folder = tmp_path_factory.mktemp("coco")
    root = folder / "data/coco"
    write_coco(root, train=100, val=1, unlabeled=2, size=(40, 60))
    convert_coco(root, root / "annotations")
    small = {
        **SMALL,
        **NO_THRESHOLD,
        "teacher.batch_size": 1,
        "predict.test_dataloader.dataset.indices": 4,  # the first of up to 99
        "test_resize.scale": (96, 64),
        "strong_resize.scale": [(96, 48), (96, 64)],
    }
    run(COCO, folder, small)
    return folder / "work_dirs"


@pytest.fixture(scope="module")
def bdd100k(tmp_path_factory, one_thread):
    """Work directories of the rows of table 5."""
    folder = tmp_path_factory.mktemp("bdd100k")
    root = folder / "data/bdd100k"
    write_bdd100k(root, train=4, val=1, only_boxes=3)
    convert_bdd100k(root, root / "annotations")
    scales = [(128, 50), (128, 64)]
    small = {"weak_pipeline.2.scale": scales, "strong_pipeline.2.scale": scales}
    run(BDD100K, folder, {**SMALL, **small})
    return folder / "work_dirs"


def is_strong(dataloader):
    return "StrongColorAugmentation" in str(dataloader)


def test_every_row_of_coco_runs(coco):
    found = evaluations(coco)
    assert Counter(stage for _, stage in found) == {"teacher": 12, "student": 6}
    for name, stage in found:
        config = plain(coco / name, stage)
        head = config.model.roi_head.mask_head
        assert (head.type, head.loss_mask.type, head.num_classes) == (
            ("NoiseTolerantMaskHead", "BoundaryPreservingLoss", 80)
            if stage == "student"
            else ("RLEMaskHead", "CrossEntropyLoss", 80)
        )
        strong = stage == "student" or name.endswith("-strong")
        assert is_strong(config.train_dataloader) == strong


@pytest.mark.parametrize("percent", LABELED)
def test_images_without_labels_have_pseudo_labels(coco, percent):
    folder = coco / f"coco-{percent}"
    student = plain(folder, "student")
    repeated, pseudo = student.train_dataloader.dataset.datasets
    with open(coco.parent / repeated.dataset.ann_file) as file:
        labeled = {image["id"] for image in json.load(file)["images"]}
    unlabeled = pseudo_labeled(folder)
    # Every third image of the tiny train2017 was in val2014; unlabeled2017 has two.
    expected = {"30": (34, 66), "100": (100, 2)}.get(percent, (int(percent), 100 - int(percent)))
    assert len(labeled) == expected[0]
    assert len(unlabeled) == min(4, expected[1])
    assert not labeled & set(unlabeled)
    images = plain(folder, "predict").test_dataloader.dataset.data_prefix.img
    assert all((coco.parent / images / name).is_file() for name in unlabeled.values())
    assert pseudo.ann_file == f"work_dirs/coco-{percent}/pseudo_labels/pseudo_labels.json"


def test_every_row_of_bdd100k_runs(bdd100k):
    assert set(evaluations(bdd100k)) == {
        ("bdd100k", "teacher"), ("bdd100k", "student"), ("bdd100k-baseline", "student")
    }  # fmt: skip
    students = [plain(bdd100k / name, "student") for name in ("bdd100k", "bdd100k-baseline")]
    heads = [student.model.roi_head.mask_head for student in students]
    assert [(head.type, head.loss_mask.type) for head in heads] == [
        ("NoiseTolerantMaskHead", "BoundaryPreservingLoss"), ("RLEMaskHead", "CrossEntropyLoss")
    ]  # fmt: skip
    assert [is_strong(student.train_dataloader) for student in students] == [True, False]
    for student in students:
        repeated, pseudo = student.train_dataloader.dataset.datasets
        assert repeated.dataset.ann_file == "data/bdd100k/annotations/ins_seg_train.json"
        assert pseudo.ann_file == "work_dirs/bdd100k/pseudo_labels/pseudo_labels.json"
    teacher = plain(bdd100k / "bdd100k", "teacher")
    assert not is_strong(teacher.train_dataloader)
    head = teacher.model.roi_head.mask_head
    assert (head.type, head.loss_mask.type) == ("RLEMaskHead", "CrossEntropyLoss")
    # Three images have boxes alone; the others of the 100k are the 10k's.
    names = pseudo_labeled(bdd100k / "bdd100k").values()
    assert set(names) <= {f"b{index:07x}-00000000.jpg" for index in range(3)}


@pytest.mark.parametrize("command", COCO, ids=lambda command: command.work_dir)
def test_coco(command):
    arguments, config = command, loaded(command.config, command.cfg_options)
    percent = arguments.work_dir.removeprefix("work_dirs/coco-").removesuffix("-strong")
    teacher, student = (stage_config(config, s, "run") for s in ("teacher", "student"))
    passes = teacher.train_cfg.max_iters * 16 / LABELED[percent]
    assert passes == pytest.approx(12, rel=0.001)
    assert teacher.param_scheduler[1].milestones == pytest.approx(
        [teacher.train_cfg.max_iters * 2 / 3, teacher.train_cfg.max_iters * 11 / 12], abs=0.5
    )
    assert student.train_cfg.max_iters == 90000
    assert student.model.roi_head.mask_head.loss_mask.gain == 3
    assert student.param_scheduler[1].milestones == [60000, 80000]
    strong = "StrongColorAugmentation" in str(teacher.train_dataloader)
    assert strong == arguments.work_dir.endswith("-strong")
    names = {
        "30": ("instances_train2017-val35k.json", "instances_train2017-val35k-unlabeled.json"),
        "100": ("instances_train2017.json", "instances_unlabeled2017.json"),
    }
    split = f"instances_train2017.1@{percent}"
    labeled, unlabeled = names.get(percent, (f"{split}.json", f"{split}-unlabeled.json"))
    assert stage_config(config, "label", "run").label.labeled_json.endswith(f"/{labeled}")
    dataset = stage_config(config, "predict", "run").test_dataloader.dataset
    assert dataset.ann_file.endswith(f"/{unlabeled}")
    folder = "unlabeled2017" if percent == "100" else "train2017"
    assert dataset.data_prefix.img == f"data/coco/{folder}/"


def test_a_tenth_of_coco_is_repeated_as_in_the_released_code():
    command = next(c for c in COCO if c.work_dir == "work_dirs/coco-10")
    config = loaded(command.config, command.cfg_options)
    labeled, pseudo = stage_config(config, "student", "run").train_dataloader.dataset.datasets
    assert labeled.times == 19 and labeled.dataset.ann_file != pseudo.ann_file


def test_bdd100k():
    assert [c.stages for c in BDD100K] == [
        ["teacher"], ["predict", "label", "student"], ["student"]
    ]  # fmt: skip
    supervised, ours, baseline = (loaded(c.config, c.cfg_options) for c in BDD100K)
    heads = [
        stage_config(config, "student", "run").model.roi_head.mask_head
        for config in (ours, baseline)
    ]
    assert [head.type for head in heads] == ["NoiseTolerantMaskHead", "RLEMaskHead"]
    assert [h.loss_mask.type for h in heads] == ["BoundaryPreservingLoss", "CrossEntropyLoss"]
    teacher = stage_config(supervised, "teacher", "run")
    assert teacher.train_cfg.max_iters * 16 == 36 * 7000
    dataset = stage_config(baseline, "student", "run").train_dataloader.dataset.datasets[1]
    assert dataset.ann_file == "work_dirs/bdd100k/pseudo_labels/pseudo_labels.json"
    assert dataset.data_prefix.img == "data/bdd100k/images/100k/train/"
