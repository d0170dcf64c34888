"""Model files that are damaged, of another program or of another model."""

import shutil

import onnx
import pytest
import torch
from mmengine.config import Config
from onnx import TensorProto, helper

from nbseg.config.plain_config import student_config
from nbseg.deploy.detector import build_detector
from nbseg.deploy.runtime import Segmenter


@pytest.fixture(scope="module")
def checkpoint(good_set, tmp_path_factory):
    """Random weights of the config's model."""
    plain = student_config(Config.fromfile(good_set / "tiny.py"), "work_dirs/test")
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save({"state_dict": build_detector(plain).state_dict(), "meta": {}}, path)
    return path


def cut(good, path):
    path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])


def content(data):
    return lambda good, path: path.write_bytes(data)


def other_architecture(good, path):
    torch.save({"state_dict": {"layer.weight": torch.zeros(2, 2)}, "meta": {}}, path)


def other_classes(good, path):
    state = torch.load(good, weights_only=True)["state_dict"]
    key = next(key for key in state if key.endswith("fc_cls.weight"))
    torch.save({"state_dict": {**state, key: state[key][:-1]}, "meta": {}}, path)


def not_finite(good, path):
    state = torch.load(good, weights_only=True)["state_dict"]
    key = next(key for key in state if key.endswith("fc_cls.weight"))
    torch.save({"state_dict": {**state, key: state[key] * float("nan")}, "meta": {}}, path)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
CHECKPOINTS = {
    "missing": (lambda good, path: None, "there is no"),
    "empty": (content(b""), "empty"),
    "truncated": (cut, "truncated or damaged"),
    "a text": (content(b"weights"), "not a PyTorch checkpoint"),
    "a Git LFS pointer": (content(LFS), "git lfs pull"),
    "a web page": (content(b"<html>404</html>"), "web page"),
    "a list": (lambda good, path: torch.save([1], path), "list"),
    "a folder": (lambda good, path: path.mkdir(), ""),
    "another architecture": (other_architecture, "is not a checkpoint of the config's model"),
    "other classes": (other_classes, "is not a checkpoint of the config's model"),
    "not finite": (not_finite, "NaN or infinite"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(root, name, checkpoint, tool, train):
    write, says = CHECKPOINTS[name]
    write(checkpoint, root / "bad.pth")
    answers = {
        "test": tool("test", "tiny.py", "bad.pth"),
        "export_onnx": tool("export_onnx", "tiny.py", "bad.pth", "--out", "m.onnx"),
        "infer": tool("infer", "tiny.py", "bad.pth", "val", "--out", "out"),
        "train": train("--stages", "predict", "--cfg-options", "teacher.checkpoint=bad.pth"),
    }
    for name, answer in answers.items():
        assert answer.status == 1 and "bad.pth" in answer.says, answers
        # The teacher has another mask head than the student, whose weights these are.
        assert name == "train" or says in answer.says, answers
    assert not (root / "m.onnx").exists()


def other_program(good, path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [result])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=opsets), path)


def without_metadata(good, path):
    model = onnx.load(good)
    del model.metadata_props[:]
    onnx.save(model, path)


def bad_metadata(good, path):
    model = onnx.load(good)
    next(entry for entry in model.metadata_props if entry.key == "resize").value = "{"
    onnx.save(model, path)


EXPORTED = {
    "missing": (lambda good, path: None, "there is no model"),
    "empty": (content(b""), "cannot load"),
    "truncated": (cut, "cannot load"),
    "a text": (content(b"model"), "cannot load"),
    "a Git LFS pointer": (content(LFS), "cannot load"),
    "a checkpoint": (lambda good, path: torch.save({}, path), "cannot load"),
    "a folder": (lambda good, path: path.mkdir(), "there is no model"),
    "of another program": (other_program, "was not exported by nbseg"),
    "without metadata": (without_metadata, "was not exported by nbseg"),
    "with malformed metadata": (bad_metadata, "malformed"),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_models(root, name, exported, infer):
    write, says = EXPORTED[name]
    path = root / "bad.onnx"
    write(exported, path)
    refusal = infer("val", model=path)
    assert refusal.status == 1
    assert "bad.onnx" in refusal.says and says in refusal.says, refusal.says
    assert not (root / "out").exists()
    with pytest.raises((ValueError, FileNotFoundError), match="bad.onnx"):
        Segmenter(path)


def test_the_good_model_is_accepted(root, exported, infer):
    shutil.copy(exported, root / "good.onnx")
    assert infer("val", model=root / "good.onnx").status == 0
