"""A clone that is not built: the tools say how to build it."""

import runpy
import sys

import pytest

COMMANDS = [
    ("train.py", "config.py"),
    ("test.py", "config.py", "model.pth"),
    ("infer.py", "model.onnx", "photo.jpg", "--out", "out"),
    ("export_onnx.py", "config.py", "model.pth"),
    ("analyze.py", "noise"),
    ("prepare_data.py", "check", "labels.json", "--images", "images"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_the_tools_say_how_to_build(repository, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "nbseg._native", None)
    monkeypatch.delitem(sys.modules, "nbseg.built", raising=False)
    monkeypatch.setattr(sys, "argv", list(command))
    expected = rf"{command[0]}: nbseg is not built .*pip install --no-build-isolation -e \."
    with pytest.raises(SystemExit, match=expected):
        runpy.run_path(str(repository / "tools" / command[0]), run_name="__main__")


def test_the_generated_set_needs_no_build(repository, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nbseg._native", None)
    sizes = ("--size", "64", "--train", "1", "--val", "1")
    monkeypatch.setattr(sys, "argv", ["prepare_data.py", "shapes", "--out", str(tmp_path), *sizes])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(repository / "tools" / "prepare_data.py"), run_name="__main__")
    assert end.value.code == 0
