"""Builds and runs the C++ tests of the torch-free code."""

from collections.abc import Callable
from pathlib import Path


def test_ctest(cmake_build: Callable[..., Path], run_tool: Callable[..., str]) -> None:
    options = ["-DNBSEG_BUILD_TESTS=ON", "-DNBSEG_BUILD_PYTHON=OFF", "-DNBSEG_CUDA=OFF"]
    folder = cmake_build("ctest", "all", *options)
    run_tool("ctest", "--test-dir", folder, "--output-on-failure", "--no-tests=error")
