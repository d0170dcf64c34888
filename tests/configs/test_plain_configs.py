"""The plain configs that tools/print_config.py prints, trained without nbseg's pipeline."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from comparison_methods import is_comparison, trains_online
from documented_commands import REPOSITORY
from mmengine.config import Config
from tiny_runs import PARTS, SMALL, loaded

from nbseg.datasets.shape_outlines import CLASSES
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.stages import stage_config

CONFIGS = sorted(
    path for path in (REPOSITORY / "configs").glob("*/*.py") if path.parent.name != "_base_"
)
# Runs tools/print_config.py in a process, and in another one does what MMDetection's tools/train.py
# does, for each file, with nothing of nbseg by name.
PROGRAM = """
import gc, os, runpy, sys
# What neither is about, and both would import for seconds.
import albumentations, imgaug.augmenters, matplotlib.pyplot, mmcv.ops, mmengine.runner, scipy.stats
import yapf.yapflib.yapf_api
assert not [name for name in sys.modules if name.startswith(("mmdet", "nbseg"))]

printed, *command = sys.argv[1 : sys.argv.index("--")]
process = os.fork()
if not process:
    os.dup2(os.open(printed, os.O_WRONLY | os.O_CREAT), 1)
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
    sys.exit()
assert os.waitpid(process, 0)[1] == 0

# Each data set would collect the garbage of all before it.
gc.collect = lambda: 0
# Laying out the config that a runner writes takes longer than two iterations.
yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)
from mmengine.config import Config
from mmengine.runner import Runner
for file in sys.argv[sys.argv.index("--") + 1 :]:
    runner = Runner.from_cfg(Config.fromfile(file))
    runner.train()
    print("trained", file, runner.iter)
assert "nbseg.engine.pipeline" not in sys.modules
"""
DEMO = REPOSITORY / "configs/shapes/demo.py"


def stages_of(path):
    """The stages that differ from those of the config's base."""
    derived = is_comparison(path) or trains_online(path)
    return ("student",) if derived else ("teacher", "student")


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
        "train_scales": [(64, 48), (64, 64)],
    }
    name = config.stem
    if "r50" not in name:
        for key in ("test_resize.scale", "tta_scales", "model.backbone.depth"):
            del options[key]
    if "mobilenet" in name:
        options = {k: v for k, v in options.items() if not k.startswith("model.backbone.")}
        options |= {"model.backbone.widen_factor": 0.25, "model.backbone.init_cfg": None}
        options["model.neck.in_channels"] = [8, 8, 24, 1280]
    for model, parts in PARTS.items():
        if model in name:
            options |= parts
    if "street7" in name:
        options |= {"test_resize.scale": (64, 64), "strong_pipeline.2.scale": (64, 64)}
    elif config.parent.name == "coco":
        options["strong_resize.scale"] = [(64, 48), (64, 64)]
    if trains_online(config):
        options |= {"online.load_from": None, "unlabeled_json": options["labeled_json"]}
    if config.parent.name == "bdd100k":
        options |= {f"{kind}_pipeline.2.scale": [(64, 48), (64, 64)] for kind in ("weak", "strong")}
    return options


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The ``process`` that ran ``PROGRAM``, the text that it ``printed``, the ``files`` it trained.

    The files are teacher and student of every config.
    """
    folder = tmp_path_factory.mktemp("plain")
    data = folder / "shapes"
    generate_shapes(data, ShapesOptions(size=64, train=6, val=1))
    files = []
    for path in CONFIGS:
        config = loaded(path.relative_to(REPOSITORY), small(path, data))
        config.val_evaluator = {"type": "InstanceMetric", "ann_file": "{val_json}"}
        for stage in stages_of(path):
            file = folder / f"{path.stem}-{stage}.py"
            file.write_text(stage_config(config, stage, folder / path.stem).pretty_text)
            files.append(str(file))
    printed = folder / "printed.py"
    command = [REPOSITORY / "tools/print_config.py", DEMO, "--stage", "student"]
    command += ["--work-dir", "run", "--cfg-options", "seed=7"]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, printed, *command, "--", *files],
        capture_output=True,
        text=True,
    )
    return SimpleNamespace(process=process, printed=printed.read_text(), files=files)


def test_the_tool_prints_the_stages_config_and_nothing_else(outcome):
    printed = Config.fromstring(outcome.printed, ".py")
    expected = Config.fromfile(DEMO)
    expected.seed = 7
    assert printed.to_dict() == stage_config(expected, "student", "run").to_dict()
    assert printed.randomness == {"seed": 7}
    assert printed.custom_imports.imports == ["nbseg.register"]
    assert not {"teacher", "control", "predict", "label", "split", "report"} & set(printed)


def test_every_plain_config_trains_without_the_pipeline(outcome):
    """Teacher and student of every config, two iterations each, in a process of their own."""
    process, files = outcome.process, outcome.files
    assert process.returncode == 0, process.stderr[-3000:]
    trained = re.findall(r"^trained (.*) 2$", process.stdout, re.MULTILINE)
    assert trained == files and len(files) == sum(len(stages_of(path)) for path in CONFIGS) > 30
