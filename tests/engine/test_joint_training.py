"""Students that see labeled and other images in the same batch, from the config to the weights."""

import copy
import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from nbseg.checkpoint import read_checkpoint
from nbseg.engine.stages import stage_config

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # MMEngine names a run by the second; two tests may share one.
    pytest.mark.filterwarnings("ignore:.*instance named of"),
]

PLAIN = {"mask_head": "{plain_mask_head}", "mask_loss": "{plain_mask_loss}"}
METHODS = {
    # base config, what a derived config adds, parts that only the training has
    "DualBranchStudent": (
        "two_kinds",
        {
            "student": {
                "method": {"type": "DualBranchStudent"},
                "train_pipeline": "{labeled_branch}",
                "pseudo_pipeline": "{pseudo_branch}",
                **PLAIN,
            }
        },
        "pseudo_mask_head.",
    ),
    "CrossConsistency": ("cct", {"shared_steps": ["{random_flip}"]}, "auxiliary."),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_student_is_published_as_a_plain_detector(
    finished, make_pipeline, repository, tmp_path, method
):
    base, added, own = METHODS[method]
    work_dir = tmp_path / "run"
    folders = ("teacher", "splits", "pseudo_labels")
    for folder in folders if base == "two_kinds" else folders[:2]:
        shutil.copytree(finished.work_dir / folder, work_dir / folder)
    changes = Config.fromfile(repository / f"configs/_base_/methods/{base}.py").to_dict()
    changes |= copy.deepcopy(added)
    run = SimpleNamespace(**{**vars(finished), "work_dir": work_dir, "changes": changes})
    stages = ["teacher", "predict", "label", "student"]
    pipeline = make_pipeline(run, stages=stages)
    assert pipeline.stages == (stages if base == "two_kinds" else ["teacher", "student"])
    metrics = pipeline.run()["student"]
    assert 0 <= metrics["segm_mAP"] <= 1

    folder = work_dir / "student"
    last = read_checkpoint(folder / "iter_3.pth")["state_dict"]
    published = read_checkpoint(folder / "student.pth")
    assert any(name.startswith(own) for name in last)
    student = {k.removeprefix("student."): v for k, v in last.items() if k.startswith("student.")}
    assert published["state_dict"].keys() == student.keys()
    for name, value in published["state_dict"].items():
        assert torch.equal(value, student[name]), name
    assert Config.fromstring(published["meta"]["cfg"], ".py").model.type == "MaskRCNN"
    assert Config.fromfile(folder / "config.py").model.type == method
    config = Config.fromfile(finished.config)
    config.merge_from_dict(copy.deepcopy(changes))
    for stage in ("teacher", "control"):
        assert stage_config(config, stage, "run").model.type == "MaskRCNN"
