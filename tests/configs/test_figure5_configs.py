"""Figure 5: the documented commands of its three models, run for two iterations a stage."""

import json
from collections import Counter

import pytest
import torch
from documented_commands import documented_commands
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from official_trees import write_cityscapes
from tiny_runs import PARTS, SMALL, evaluations, loaded, plain, pseudo_labeled, run

from nbseg.datasets.converters.cityscapes import convert_cityscapes
from nbseg.engine.stages import stage_config

pytest.importorskip("cityscapesscripts", reason='needs the extra "cityscapes"')

COMMANDS = documented_commands("configs/cityscapes/README.md")
HEADS = {
    "point-rend": "RLECoarseMaskHead",
    "bmask-rcnn": "BoundaryMaskHead",
    "refinemask": "RefineMaskHead",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, one_thread):
    """Work directories of the models, after their commands were run one after another."""
    folder = tmp_path_factory.mktemp("figure5")
    root = folder / "data/cityscapes"
    write_cityscapes(root, train=10, val=1, train_extra=0)
    convert_cityscapes(root, root / "annotations")
    for command in COMMANDS:
        parts = next(parts for model, parts in PARTS.items() if model in command.work_dir)
        small = {**SMALL, "train_scales": [(128, 50), (128, 64)], **parts}
        run([command], folder, small)
    return folder / "work_dirs"


def test_the_page_has_both_commands_of_each_model():
    names = Counter((command.work_dir, command.config) for command in COMMANDS)
    assert names == {
        (
            f"work_dirs/{model}-20",
            f"configs/cityscapes/noisy-boundaries_{model}_r50_fpn_cityscapes.py",
        ): 2
        for model in HEADS
    }


@pytest.mark.parametrize("model", HEADS)
def test_teacher_and_student_are_the_model(runs, model):
    found = evaluations(runs)
    assert len(found) == 2 * len(HEADS)
    for stage in ("teacher", "student"):
        assert {"AP", "boundary_AP"} <= set(found[f"{model}-20", stage])
        config = plain(runs / f"{model}-20", stage)
        head = config.model.roi_head.mask_head
        # Neither of the paper's parts: their own head, and its own loss.
        assert (head.type, head.loss_mask.type) == (HEADS[model], "CrossEntropyLoss")
        strong = "StrongColorAugmentation" in str(config.train_dataloader)
        assert strong == (stage == "student")
    repeated, pseudo = config.train_dataloader.dataset.datasets
    assert repeated.dataset.ann_file != pseudo.ann_file
    assert pseudo.ann_file == f"work_dirs/{model}-20/pseudo_labels/pseudo_labels.json"
    truth = json.loads((runs.parent / repeated.dataset.ann_file).read_text())
    labeled = {image["file_name"] for image in truth["images"]}
    unlabeled = set(pseudo_labeled(runs / f"{model}-20").values())
    # A fifth of the ten images is labeled.
    assert (len(labeled), len(unlabeled), labeled & unlabeled) == (2, 8, set())


@pytest.mark.parametrize("command", COMMANDS[1::2], ids=lambda command: command.work_dir)
def test_the_models_build_at_their_full_size(command):
    init_default_scope("mmdet")
    config = loaded(command.config, command.cfg_options)
    for stage in ("teacher", "student"):
        with torch.device("meta"):  # no weights: it is the structure that counts
            model = MODELS.build(stage_config(config, stage, command.work_dir).model)
        assert model.backbone.depth == 50
        assert model.roi_head.bbox_head.num_classes == 8
