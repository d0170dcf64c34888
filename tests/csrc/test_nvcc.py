"""Compiles all CUDA sources, where there is an nvcc, and looks at what ptxas says of them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOG = ROOT / "build" / "ptxas.log"
ARCHITECTURES = {f"sm_{version}" for version in (75, 80, 86, 89, 90, 100, 120)}

nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")


@pytest.mark.skipif(not nvcc, reason="no nvcc: neither on PATH nor named in CUDACXX")
def test_kernels_compile_without_a_stack_frame_or_spills(tmp_path: Path) -> None:
    pybind11 = pytest.importorskip("pybind11")
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w") as log:
        for command in (
            ["cmake", "-S", ROOT, "-B", tmp_path, "-G", "Ninja", "-DNBSEG_CUDA=ON"]
            + [f"-DPython_EXECUTABLE={sys.executable}", "-DNBSEG_CUDA_ARCHITECTURES=all"]
            + [f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
            + ["-DCMAKE_CUDA_FLAGS=-Xptxas -v --threads 2"],
            ["cmake", "--build", tmp_path, "--parallel", "1", "--target", "nbseg_cuda"],
        ):
            result = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PATH": tools},
            )
            log.write(result.stdout)
            assert result.returncode == 0, f"{result.stdout}\nall output is in {LOG}"

    # One architecture's report is not mixed with another's: nvcc collects it.
    reports = re.findall(
        r"Compiling entry function '(\w+)' for '(\w+)'\n.*\n"
        r" *(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads",
        LOG.read_text(),
    )
    assert {architecture for _, architecture, *_ in reports} == ARCHITECTURES, f"see {LOG}"
    for kernel in ("roi_loss", "mean", "scatter", "mask_targets"):
        compiled = {report[1] for report in reports if f"{kernel}_kernel" in report[0]}
        assert compiled == ARCHITECTURES, f"{kernel}_kernel: see {LOG}"
    spilled = [report for report in reports if any(int(size) > 0 for size in report[2:])]
    assert not spilled, f"kernels with a stack frame or spills: {spilled}; all output is in {LOG}"
