"""The ops' versions for narrower instruction sets than this CPU's widest."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = ("test_bpm_mask_loss.py", "test_mask_targets.py")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the capabilities of x86-64")
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_results_are_the_same(capability):
    order = ["DEFAULT", "AVX2", "AVX512"]
    present = torch.backends.cpu.get_cpu_capability()
    if order.index(capability.upper()) >= order.index(present):
        pytest.skip(f"this CPU has {present} only, which the other tests use")
    folder = Path(__file__).parent
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [*(folder / name for name in TESTS), "-k", "equals or digits or reference or hand"],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        cwd=folder.parents[1],
        check=True,
    )
