"""Check the documented deployment from an empty virtual environment."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import pytest
from small_detectors import pictures

SOURCES = ("setup.py", "pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE")


def run(*command, cwd):
    """Run a command without this environment's variables; return its output."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    # The few modules that the tool imports are compiled when it imports them.
    env["PIP_COMPILE"] = "0"
    # That the bindings are built matters, not how fast they run.
    env["CMAKE_ARGS"] = "-DCMAKE_CXX_FLAGS_RELEASE=-O0 -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF"
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True
    )
    if result.returncode:
        pytest.fail(f"{command}: {result.stdout}{result.stderr}")
    return result.stdout


def test_an_exported_model_runs_without_pytorch(mask_rcnn, repository, tmp_path):
    # A copy: the build must not touch the build folder of this environment.
    source = tmp_path / "nbseg"
    for folder in ("csrc", "tools", "nbseg"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(repository / folder, source / folder, ignore=ignored)
    for name in SOURCES:
        shutil.copy(repository / name, source)
    run(sys.executable, "-m", "venv", "--without-pip", "environment", cwd=tmp_path)
    python = tmp_path / "environment" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "-q", f"{source}[deploy]", cwd=tmp_path)
    packages = run(*pip, "list", "--format", "json", cwd=tmp_path)
    names = {package["name"] for package in json.loads(packages)}
    assert "nbseg" in names
    assert not {name for name in names if name.startswith(("torch", "onedl", "mm"))}

    image, out = tmp_path / "image.png", tmp_path / "out"
    cv2.imwrite(str(image), pictures((112, 160))[0])
    run(python, source / "tools" / "infer.py", mask_rcnn.onnx, image, "--out", out, cwd=tmp_path)
    assert json.loads((out / "predictions.json").read_text())["annotations"]
