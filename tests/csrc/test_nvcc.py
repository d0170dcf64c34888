"""Compiles all CUDA sources, where there is an nvcc, and checks what ptxas reports of them."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).with_name("keep_output.py")
ARCHITECTURES = {f"sm_{version}" for version in (75, 80, 86, 89, 90, 100, 120)}

nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")


@pytest.mark.skipif(not nvcc, reason="no nvcc: neither on PATH nor named in CUDACXX")
def test_kernels_compile_without_a_stack_frame_or_spills(cmake_build: Callable[..., Path]) -> None:
    pybind11 = pytest.importorskip("pybind11")
    folder = cmake_build(
        "nvcc",
        "nbseg_cuda",
        "-DNBSEG_CUDA=ON",
        f"-DCMAKE_CUDA_COMPILER={nvcc}",
        "-DNBSEG_CUDA_ARCHITECTURES=all",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        # The bindings, which the host's compiler reads, are only to compile.
        "-DCMAKE_CXX_FLAGS_RELEASE=-O0",
        # Two threads finish the last and largest source sooner than one.
        "-DCMAKE_CUDA_FLAGS=-Xptxas -v --threads 2",
        f"-DCMAKE_CUDA_COMPILER_LAUNCHER={sys.executable};{LAUNCHER}",
    )

    logs = [*(folder / "CMakeFiles" / "nbseg_cuda.dir").rglob("*.cu.o.log")]
    # nvcc collects the output of each architecture, so that reports do not interleave.
    reports = re.findall(
        r"Compiling entry function '(\w+)' for '(\w+)'\n.*\n"
        r" *(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads",
        "".join(log.read_text() for log in logs),
    )
    assert {architecture for _, architecture, *_ in reports} == ARCHITECTURES, f"see {logs}"
    for kernel in ("roi_loss", "mean", "scatter", "mask_targets"):
        compiled = {report[1] for report in reports if f"{kernel}_kernel" in report[0]}
        assert compiled == ARCHITECTURES, f"{kernel}_kernel: see {logs}"
    spilled = [report for report in reports if any(int(size) > 0 for size in report[2:])]
    assert not spilled, f"kernels with a stack frame or spills: {spilled}; see {logs}"
