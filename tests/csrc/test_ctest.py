"""Builds and runs the C++ tests of the torch-free code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_ctest(tmp_path: Path) -> None:
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in (
        ["cmake", "-S", ROOT, "-B", tmp_path, "-G", "Ninja"]
        + ["-DNBSEG_BUILD_TESTS=ON", "-DNBSEG_BUILD_PYTHON=OFF", "-DNBSEG_CUDA=OFF"],
        ["cmake", "--build", tmp_path],
        ["ctest", "--test-dir", tmp_path, "--output-on-failure", "--no-tests=error"],
    ):
        result = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PATH": tools}
        )
        if result.returncode:
            pytest.fail(result.stdout + result.stderr)
