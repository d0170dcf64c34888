"""Every command of configs/README.md, run for two iterations a stage on a tiny Cityscapes."""

import json
import re
from collections import Counter

import numpy as np
import pytest
import torch
from documented_commands import REPOSITORY, documented_commands
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from official_trees import write_cityscapes
from tiny_runs import SMALL, evaluations, loaded, plain, run

from nbseg.datasets.converters.cityscapes import convert_cityscapes
from nbseg.engine.stages import stage_config

pytest.importorskip("cityscapesscripts", reason='needs the extra "cityscapes"')

PAGE = "configs/README.md"
COMMANDS = documented_commands(PAGE)
FINE = "configs/cityscapes/noisy-boundaries_mask-rcnn_r50_fpn_cityscapes.py"
# The student of each row: strong augmentation, NTM, mask loss, loss of the box classifier.
PLAIN, MAP, CROSS_ENTROPY = "CrossEntropyLoss", "BoundaryPreservingLoss", "CrossEntropyLoss"
STUDENTS = {
    "cityscapes-20-seed0": (True, True, MAP, CROSS_ENTROPY),
    "cityscapes-20-seed0-baseline": (False, False, PLAIN, CROSS_ENTROPY),
    "cityscapes-20-seed0-focal": (True, True, MAP, "SoftmaxFocalLoss"),
    "cityscapes-30-seed0": (True, True, MAP, CROSS_ENTROPY),
    "cityscapes-30-seed0-baseline": (False, False, PLAIN, CROSS_ENTROPY),
    "cityscapes-30-seed0-da": (True, False, PLAIN, CROSS_ENTROPY),
    "cityscapes-30-seed0-ntm": (False, True, PLAIN, CROSS_ENTROPY),
    "cityscapes-30-seed0-bpm": (False, False, MAP, CROSS_ENTROPY),
    "cityscapes-30-seed0-da-ntm": (True, True, PLAIN, CROSS_ENTROPY),
    "cityscapes-30-seed0-da-bpm": (True, False, MAP, CROSS_ENTROPY),
    "cityscapes-30-seed0-ntm-bpm": (False, True, MAP, CROSS_ENTROPY),
    "cityscapes-30-seed0-distance": (True, True, "DistanceToBoundaryLoss", CROSS_ENTROPY),
    "cityscapes-30-seed0-released": (True, True, PLAIN, CROSS_ENTROPY),
    "cityscapes-30-seed0-zeros": (True, True, MAP, CROSS_ENTROPY),
    "cityscapes-30-seed0-gain": (True, True, MAP, CROSS_ENTROPY),
    "cityscapes-30-seed0-released-gain": (True, True, PLAIN, CROSS_ENTROPY),
    "cityscapes-coarse-seed0": (True, True, MAP, CROSS_ENTROPY),
    "cityscapes-coarse-seed0-focal": (True, True, MAP, "SoftmaxFocalLoss"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, one_thread):
    """Work directories of all rows, after their commands were run one after another."""
    folder = tmp_path_factory.mktemp("cityscapes")
    root = folder / "data/cityscapes"
    write_cityscapes(root, train=10, val=1, train_extra=2)
    convert_cityscapes(root, root / "annotations")
    run(COMMANDS, folder, {**SMALL, "train_scales": [(128, 50), (128, 64)]})
    return folder / "work_dirs"


def test_every_row_leaves_both_evaluations(runs):
    found = evaluations(runs)
    assert all({"AP", "AP_50", "boundary_AP"} <= set(values) for values in found.values())
    tested = Counter(stage for _, stage in found)
    assert tested == {"teacher": 10, "control": 1, "student": len(STUDENTS), "oracle": 1}


@pytest.mark.parametrize("row", STUDENTS)
def test_students_differ_in_what_the_row_says(runs, row):
    strong, noise_tolerant, mask_loss, box_loss = STUDENTS[row]
    student = plain(runs / row, "student")
    repeated, pseudo = student.train_dataloader.dataset.datasets
    for dataset in (repeated.dataset, pseudo):
        names = [step.type for step in dataset.pipeline]
        assert ("CutOut" in names, "StrongColorAugmentation" in names) == (strong, strong)
    shared = re.match(r"cityscapes-(20|30|coarse)-seed0", row)[0]
    assert pseudo.ann_file == f"work_dirs/{shared}/pseudo_labels/pseudo_labels.json"
    head = student.model.roi_head.mask_head
    assert head.type == ("NoiseTolerantMaskHead" if noise_tolerant else "RLEMaskHead")
    assert head.loss_mask.type == mask_loss
    weight = 9 if mask_loss != PLAIN or row.endswith("-released") else 1
    weight = 3 if row.endswith("-gain") else weight
    assert head.loss_mask.get("gain", head.loss_mask.get("loss_weight", 1)) == weight
    assert head.loss_mask.get("border", "replicate") == (
        "zeros" if row.endswith("-zeros") else "replicate"
    )
    assert student.model.roi_head.bbox_head.loss_cls.type == box_loss
    assert student.model.roi_head.bbox_head.loss_bbox.type == "SmoothL1Loss"


@pytest.mark.parametrize("name", [f"cityscapes-{part}-seed0" for part in ("20", "30", "coarse")])
def test_teachers_are_plain(runs, name):
    for folder, strong in ((runs / name, False), (runs / f"{name}-strong", True)):
        teacher = plain(folder, "teacher")
        roi_head = teacher.model.roi_head
        assert (roi_head.mask_head.type, roi_head.mask_head.loss_mask.type) == (
            "RLEMaskHead",
            PLAIN,
        )
        assert roi_head.bbox_head.loss_cls.type == CROSS_ENTROPY
        pipeline = teacher.train_dataloader.dataset.dataset.pipeline
        assert any(step.type == "CutOut" for step in pipeline) == strong


def test_fine_and_coarse_labels_where_the_rows_say(runs):
    shared = "cityscapes-coarse-seed0"

    def labels(dataset):
        return re.search("gtFine_train|gtCoarse", dataset.ann_file)[0]

    two, three = "-coarse-fine", "-fine-coarse-fine"
    chain = {"": "gtFine_train", f"{two}-coarse": "gtCoarse", two: "gtFine_train"}
    chain |= {f"{three}-coarse": "gtCoarse", three: "gtFine_train"}
    for name, expected in chain.items():
        dataset = plain(runs / f"{shared}{name}", "teacher").train_dataloader.dataset.dataset
        assert labels(dataset) == expected
    starts = {two: f"{two}-coarse", f"{three}-coarse": "", three: f"{three}-coarse"}
    for name, before in starts.items():
        file = f"work_dirs/{shared}{before}/teacher/teacher.pth"
        assert plain(runs / f"{shared}{name}", "teacher").load_from == file
    repeated, coarse = plain(runs / f"{shared}-coarse", "oracle").train_dataloader.dataset.datasets
    assert (labels(repeated.dataset), labels(coarse)) == ("gtFine_train", "gtCoarse")
    pseudo = json.loads((runs / shared / "pseudo_labels/pseudo_labels.json").read_text())
    assert len(pseudo["images"]) == 2
    assert all("augsburg" in image["file_name"] for image in pseudo["images"])


@pytest.mark.parametrize("percent", [5, 10, 20, 30, 40])
def test_schedules_follow_from_the_percent(percent):
    """The released recipe, counted on the split itself; 20% to the iteration."""
    config = loaded(FINE, {"percent": percent})
    student, teacher = (stage_config(config, stage, "run") for stage in ("student", "teacher"))
    labeled = int(percent * 2975 / 100)
    repeats = student.train_dataloader.dataset.datasets[0].times
    if percent == 20:
        assert repeats == 8
        assert teacher.train_cfg.max_iters == 64 * 595 // 8
        assert student.train_cfg.max_iters == 8 * 3 * (8 * 595 + 2380) // 8
    assert 1.6 < repeats * labeled / (2975 - labeled) < 2.2
    assert teacher.train_cfg.max_iters * 8 == pytest.approx(64 * labeled, rel=0.01)
    images = 24 * (repeats * labeled + 2975 - labeled)
    assert student.train_cfg.max_iters * 8 == pytest.approx(images, rel=0.01)
    for plain_config in (student, teacher):
        warmup, steps = plain_config.param_scheduler
        assert (warmup.end, steps.gamma) == (500, 0.1)
        assert np.isclose(steps.milestones[0] / plain_config.train_cfg.max_iters, 7 / 8, atol=1e-3)
        optimizer = plain_config.optim_wrapper.optimizer
        assert optimizer == {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
    page = (REPOSITORY / PAGE).read_text(encoding="utf-8").splitlines()
    column = [5, 10, 20, 30, 40].index(percent) + 1
    for name, plain_config in (("teacher", teacher), ("student", student)):
        start = f"| iterations of the {name} |"
        (row,) = (line.split(" | ") for line in page if line.startswith(start))
        assert int(row[column]) == plain_config.train_cfg.max_iters


def test_every_row_builds_at_its_full_size():
    models = {}
    for command in COMMANDS:
        config = loaded(command.config, command.cfg_options)
        for stage in set(command.stages) - {"label"}:
            model = stage_config(config, stage, command.work_dir).model
            models[str(model)] = model
    init_default_scope("mmdet")
    for config in models.values():
        with torch.device("meta"):  # no weights: it is the structure that counts
            model = MODELS.build(config)
            detector = getattr(model, "module", model)  # in the model of test-time augmentation
            assert detector.backbone.depth == 50
            assert detector.backbone.init_cfg.checkpoint == "torchvision://resnet50"
            assert detector.roi_head.bbox_head.num_classes == 8


def test_the_focal_loss_may_be_the_teachers_too():
    config = loaded(FINE, {"teacher.box_loss": "{softmax_focal_loss}"})
    losses = {
        stage: stage_config(config, stage, "run").model.roi_head.bbox_head.loss_cls.type
        for stage in ("teacher", "control", "student")
    }
    assert losses == {
        "teacher": "SoftmaxFocalLoss",
        "control": "SoftmaxFocalLoss",
        "student": CROSS_ENTROPY,
    }


def test_the_page_has_every_command_once():
    arguments = [(c.work_dir, *c.stages, c.config) for c in COMMANDS]
    assert len(set(arguments)) == len(arguments) == 30
