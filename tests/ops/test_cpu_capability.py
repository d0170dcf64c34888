"""Repeats the ops' numerical tests with narrower instruction sets than this CPU's widest."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent
TESTS = ("test_bpm_mask_loss.py", "test_mask_targets.py")
# Only the arithmetic of the kernels depends on the instruction set. Masks from RLEs have the same
# bits as those from polygons, and a large image differs only in its coordinates, which are computed
# in the same code for every instruction set: the widest one is enough for these two.
SELECTION = "(equals or digits or reference or hand) and not rle and not large_image"
# Takes the capability, and arguments for pytest.
PROGRAM = """
import sys
import pytest, torch
from test_rle import check_random_cases
from nbseg._native import torch_uses_fma

assert torch.backends.cpu.get_cpu_capability() == sys.argv[1]
assert torch_uses_fma() == (sys.argv[1] != "DEFAULT")
check_random_cases(seed=1, count=150)
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the capabilities of x86-64")
@pytest.mark.parametrize("capability", ["DEFAULT", "AVX2"])
def test_results_are_the_same(capability: str) -> None:
    order = ["DEFAULT", "AVX2", "AVX512"]
    present = torch.backends.cpu.get_cpu_capability()
    if order.index(capability) >= order.index(present):
        pytest.skip(f"this CPU has {present}, which the other tests use")
    path = os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run(
        [sys.executable, "-c", PROGRAM, capability, "-q", "-p", "no:cacheprovider"]
        + [*(FOLDER / name for name in TESTS), "-k", SELECTION],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability.lower(), "PYTHONPATH": path},
        cwd=FOLDER.parents[1],
        check=True,
    )
