"""A good tiny set, and the tools that refuse what is bad, in this process."""

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from tiny_config import NETWORK
from tool_runs import run_tool

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.preflight.parts import check_parts

CONFIG = """
_base_ = '{repository}/configs/shapes/demo.py'
split = None
labeled_json = 'labeled.json'
unlabeled_json = 'unlabeled.json'
val_json = 'val.json'
train_images = 'train/'
unlabeled_folder = 'train/'
val_images = 'val/'
report = dict(hidden_truth=None)
batch_size = 2
train_dataloader = dict(sampler=dict(source_ratio=[1, 1]))
num_workers = 0
persistent_workers = False
"""


class TrainingStarts(Exception):
    """Stands in for the first stage: all checks have passed."""


@pytest.fixture(scope="session")
def good_set(tmp_path_factory, repository):
    """Four labeled, two unlabeled and two validation images, and a config."""
    root = tmp_path_factory.mktemp("good")
    generate_shapes(root / "made", ShapesOptions(size=64, train=6, val=2))
    for name in ("train", "val"):
        shutil.move(root / "made" / name, root / name)
    whole = json.loads((root / "made/annotations/instances_train.json").read_text())
    shutil.move(root / "made/annotations/instances_val.json", root / "val.json")
    for name, images in (("labeled", whole["images"][:4]), ("unlabeled", whole["images"][4:])):
        ids = {image["id"] for image in images}
        kept = [a for a in whole["annotations"] if a["image_id"] in ids and name == "labeled"]
        content = {**whole, "images": images, "annotations": kept}
        (root / f"{name}.json").write_text(json.dumps(content))
    (root / "made.py").write_text(CONFIG.replace("{repository}", str(repository)) + NETWORK)
    # Without bases, which take most of the time to read.
    Config.fromfile(root / "made.py").dump(root / "tiny.py")
    (root / "made.py").unlink()
    shutil.rmtree(root / "made")
    return root


@pytest.fixture
def root(good_set, tmp_path, monkeypatch):
    """A copy of the good set to be spoiled; relative paths begin there."""
    folder = tmp_path / "set"
    shutil.copytree(good_set, folder)
    monkeypatch.chdir(folder)
    return folder


def _run(script, arguments):
    """Run a tool; return its exit status and what it says on both streams."""
    said = io.StringIO()
    status = run_tool(script, arguments, said, said)
    return SimpleNamespace(status=status, says=said.getvalue())


@pytest.fixture
def tool(repository):
    """Run a tool of tools/ with arguments. An exception that it does not catch fails the test."""
    return lambda name, *arguments: _run(repository / "tools" / f"{name}.py", arguments)


@pytest.fixture(scope="session")
def check_parts_once():
    """Check the parts of equal configs once: most tests spoil the data alone."""
    sound = set()

    def check(configs):
        text = str({stage: plain.to_dict() for stage, plain in configs.items()})
        if text not in sound:
            check_parts(configs)
        sound.add(text)

    return check


@pytest.fixture
def train(tool, monkeypatch, check_parts_once):
    """Run tools/train.py up to its first stage; the status of a run that would train is 0."""

    def start(pipeline, name):
        raise TrainingStarts(name)

    def run(*arguments, config="tiny.py"):
        monkeypatch.setattr("nbseg.engine.pipeline.Pipeline._run_stage", start)
        monkeypatch.setattr("nbseg.engine.preflight.run.check_parts", check_parts_once)
        try:
            return tool("train", config, "--work-dir", "run", *arguments)
        except TrainingStarts:
            return SimpleNamespace(status=0, says="")

    return run


@pytest.fixture
def check(tool):
    """Run tools/prepare_data.py check."""
    return lambda file, images="train": tool(
        "prepare_data", "check", file, "--images", images, "--workers", 1
    )


@pytest.fixture
def infer(tool, exported):
    """Run tools/infer.py with a tiny exported model."""
    return lambda *inputs, model=None: tool(
        "infer", model or exported, *inputs, "--out", "out", "--threads", 1
    )


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """An ONNX file with the inputs, outputs and metadata of an exported model; it finds nothing."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    from nbseg.deploy.model_info import INPUT, OUTPUTS, ModelInfo
    from nbseg.deploy.preprocessing import ResizeRule

    def constant(name, values):
        return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(values))

    shapes = {"boxes": [1, 4], "scores": [1], "labels": [1], "masks": [1, 28, 28], "counts": []}
    whole = ("labels", "counts")
    nodes = [
        helper.make_node("Shape", [INPUT], ["batch"], start=0, end=1),
    ]
    outputs = []
    for name in OUTPUTS:
        kind, dtype = (TensorProto.INT64, np.int64) if name in whole else (1, np.float32)
        nodes += [
            constant(f"{name}_size", np.array(shapes[name], np.int64)),
            helper.make_node("Concat", ["batch", f"{name}_size"], [f"{name}_shape"], axis=0),
            helper.make_node(
                "ConstantOfShape",
                [f"{name}_shape"],
                [name],
                value=onnx.numpy_helper.from_array(np.zeros(1, dtype)),
            ),
        ]
        outputs.append(helper.make_tensor_value_info(name, kind, ["batch", *shapes[name]]))
    images = helper.make_tensor_value_info(
        INPUT, TensorProto.UINT8, ["batch", 3, "height", "width"]
    )
    graph = helper.make_graph(nodes, "nothing", [images], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    info = ModelInfo(("star", "gear"), ResizeRule(scale=(64, 64)), 0.5, 0.05, 1, "0", "")
    helper.set_model_props(model, info.to_metadata())
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    onnx.save(model, path)
    return path


def _edit(path, change):
    content = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps(change(content) or content))


@pytest.fixture
def edit():
    """Change a json in place by a function that changes or returns its content."""
    return _edit
