"""The plain configs that tools/print_config.py prints, trained without nbseg's pipeline."""

import re
import subprocess
import sys

import pytest
from documented_commands import REPOSITORY
from mmengine.config import Config
from tiny_runs import PARTS, SMALL, loaded

from nbseg.datasets.shape_outlines import CLASSES
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.stages import stage_config

CONFIGS = sorted(
    path for path in (REPOSITORY / "configs").glob("*/*.py") if path.parent.name != "_base_"
)
# What MMDetection's tools/train.py does, for each file, and nothing of nbseg by name.
TRAIN = """
import gc, sys
import yapf.yapflib.yapf_api
# Laying out the config that a runner writes takes longer than two iterations.
yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)
from mmengine.config import Config
from mmengine.runner import Runner
for file in sys.argv[1:]:
    runner = Runner.from_cfg(Config.fromfile(file))
    runner.train()
    print("trained", file, runner.iter)
    gc.freeze()  # or each data set would collect the garbage of all before it
assert "nbseg.engine.pipeline" not in sys.modules
"""


def small(config, data):
    """Options that let a config train on the generated set within seconds."""
    options = {
        **SMALL,
        "work_dir": "unused",
        "split": None,
        "classes": list(CLASSES),
        "num_classes": len(CLASSES),
        "labeled_json": f"{data}/annotations/instances_train.json",
        "label.ann_file": f"{data}/annotations/instances_train.json",
        "train_images": f"{data}/train/",
        "unlabeled_folder": f"{data}/train/",
        "val_json": f"{data}/annotations/instances_val.json",
        "val_images": f"{data}/val/",
        "load_from": None,
        "batch_size": 4,
        "train_scales": [(128, 96), (128, 128)],
    }
    name = config.stem
    if "r50" not in name:
        for key in ("test_resize.scale", "tta_scales", "model.backbone.depth"):
            del options[key]
    if "mobilenet" in name:
        for part in ("backbone.base_channels", "backbone.stem_channels", "neck.in_channels"):
            del options[f"model.{part}"]
    for model, parts in PARTS.items():
        if model in name:
            options |= parts
    if "street7" in name:
        options |= {"test_resize.scale": (128, 128), "strong_pipeline.2.scale": (128, 128)}
    elif config.parent.name == "coco":
        options["strong_resize.scale"] = [(128, 96), (128, 128)]
    if config.parent.name == "bdd100k":
        options |= {
            f"{kind}_pipeline.2.scale": [(128, 96), (128, 128)] for kind in ("weak", "strong")
        }
    return options


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    generate_shapes(folder, ShapesOptions(size=128, train=6, val=1))
    return folder


def test_the_tool_prints_the_stages_config_and_nothing_else(tmp_path):
    config = REPOSITORY / "configs/shapes/demo.py"
    text = subprocess.run(
        [sys.executable, REPOSITORY / "tools/print_config.py", config, "--stage", "student"]
        + ["--work-dir", tmp_path, "--cfg-options", "seed=7"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    printed = Config.fromstring(text, ".py")
    expected = Config.fromfile(config)
    expected.seed = 7
    assert printed.to_dict() == stage_config(expected, "student", tmp_path).to_dict()
    assert printed.randomness == {"seed": 7}
    assert printed.custom_imports.imports == ["nbseg.register"]
    assert not {"teacher", "control", "predict", "label", "split", "report"} & set(printed)


def test_every_plain_config_trains_without_the_pipeline(data, tmp_path):
    """Teacher and student of every config, two iterations each, in a process of their own."""
    files = []
    for path in CONFIGS:
        config = loaded(path.relative_to(REPOSITORY), small(path, data))
        config.val_evaluator = {"type": "InstanceMetric", "ann_file": "{val_json}"}
        for stage in ("teacher", "student"):
            file = tmp_path / f"{path.stem}-{stage}.py"
            file.write_text(stage_config(config, stage, tmp_path / path.stem).pretty_text)
            files.append(str(file))
    process = subprocess.run([sys.executable, "-c", TRAIN, *files], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    trained = re.findall(r"^trained (.*) 2$", process.stdout, re.MULTILINE)
    assert trained == files and len(files) == 2 * len(CONFIGS) > 20
