"""Repeats the ops' numerical tests with narrower instruction sets than this CPU's widest."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = ("test_bpm_mask_loss.py", "test_mask_targets.py")
# Only the arithmetic of the kernels depends on the instruction set. Masks from RLEs have the same
# bits as those from polygons, and a large image differs only in its coordinates, which are computed
# in the same code for every instruction set: the widest one is enough for these two.
SELECTION = "(equals or digits or reference or hand) and not rle and not large_image"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the capabilities of x86-64")
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_results_are_the_same(capability: str) -> None:
    order = ["DEFAULT", "AVX2", "AVX512"]
    present = torch.backends.cpu.get_cpu_capability()
    if order.index(capability.upper()) >= order.index(present):
        pytest.skip(f"this CPU has {present}, which the other tests use")
    folder = Path(__file__).parent
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [*(folder / name for name in TESTS), "-k", SELECTION],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        cwd=folder.parents[1],
        check=True,
    )
