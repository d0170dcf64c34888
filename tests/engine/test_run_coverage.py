"""Kinds of image that no label shows are named before a run, and by tools/analyze.py."""

import re
import runpy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_config import write_tiny_config

from nbseg.coco import read_coco
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.datasets.splits import split_indices
from nbseg.deploy.detector import build_detector
from nbseg.engine.coverage import CANNOT_TELL
from nbseg.engine.pipeline import Pipeline
from nbseg.engine.stages import stage_config
from nbseg.images import write_image

PERCENT = 25


@pytest.fixture(scope="module")
def two_kinds(tmp_path_factory, repository):
    """A config with weights, and the names of the images of the kind that no label shows."""
    folder = tmp_path_factory.mktemp("kinds")
    generate_shapes(folder / "shapes", ShapesOptions(size=64, train=24, val=1))
    names = [
        image["file_name"]
        for image in read_coco(folder / "shapes/annotations/instances_train.json")["images"]
    ]
    unlabeled = np.setdiff1d(np.arange(24), split_indices(24, PERCENT, seed=0))
    generator = np.random.default_rng(0)
    others = [names[index] for index in unlabeled[::3]]
    for name in others:
        noise = generator.integers(0, 256, (64, 64, 1)).astype(np.uint8)
        write_image(folder / "shapes" / "train" / name, noise.repeat(3, 2))
    config = folder / "tiny.py"
    write_tiny_config(config, repository, folder / "shapes")
    text = config.read_text().replace("percent = 50", f"percent = {PERCENT}")
    torch.manual_seed(0)
    config.write_text(text)
    teacher = stage_config(Config.fromfile(config), "teacher", folder / "run")
    backbone = build_detector(teacher).backbone
    torch.save(backbone.state_dict(), folder / "backbone.pth")
    init = f"init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='{folder}/backbone.pth'), "
    config.write_text(text.replace("base_channels=8", f"{init}base_channels=8"))
    return config, others


@pytest.fixture(scope="module")
def analyze(repository):
    return runpy.run_path(str(repository / "tools" / "analyze.py"))["main"]


def _lines(config, tmp_path, **changes):
    read = Config.fromfile(config)
    read.merge_from_dict(changes)
    plan = Pipeline(read, tmp_path / "run", ["teacher", "predict"]).prepare()
    return [line for line in plan if re.match(r"(warning: )?coverage", line)]


def test_a_run_warns_of_a_missing_kind(two_kinds, tmp_path):
    config, others = two_kinds
    (line,) = _lines(config, tmp_path)
    assert line.startswith(f"warning: coverage: {len(others)} of 18 unlabeled images are of a kind")
    assert sum(name in line for name in others) == 2
    assert "or train with bridge_prob=0.8" in line
    (line,) = _lines(config, tmp_path, bridge_prob=0.5)
    assert "bridge_prob" not in line
    assert not _lines(config, tmp_path, check_coverage=False)


def test_a_backbone_without_feature_maps_does_not_stop_a_run(two_kinds, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("a backbone without feature maps")

    monkeypatch.setattr("nbseg.engine.coverage.pretrained_features", fail)
    (line,) = _lines(two_kinds[0], tmp_path)
    assert line.startswith("warning: coverage was not examined (RuntimeError: a backbone without")


def test_random_weights_cannot_tell(two_kinds, tmp_path):
    assert _lines(two_kinds[0], tmp_path, **{"model.backbone.init_cfg": None}) == [CANNOT_TELL]


def test_the_tool_lists_the_images_of_the_missing_kind(two_kinds, analyze, tmp_path, capsys):
    config, others = two_kinds
    out = tmp_path / "coverage"
    assert analyze(["coverage", str(config), "--out", str(out)]) == 0
    listed = (out / "uncovered.txt").read_text().splitlines()
    assert sorted(path.rsplit("/", 1)[1] for path in listed) == others
    assert "Missing kind 1" in (out / "index.html").read_text()
    assert f"coverage: {len(others)} of 18" in capsys.readouterr().out


def test_the_tool_covers_all_kinds_where_one_is_labeled(two_kinds, analyze, tmp_path, capsys):
    config, _ = two_kinds
    arguments = ["coverage", str(config), "--out", str(tmp_path), "--cfg-options", "seed=3"]
    assert analyze(arguments) == 0
    assert "no missing kind of image was found among" in capsys.readouterr().out
    assert "farthest" in (tmp_path / "index.html").read_text()
