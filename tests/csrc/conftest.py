"""CMake builds for the tests of this folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Run = Callable[..., str]


@pytest.fixture(scope="session")
def run_tool() -> Run:
    """A function that runs a build tool, fails the test with its output, or returns the output."""
    # CMake, CTest and Ninja come first from the environment of this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(*command: str | Path) -> str:
        result = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PATH": path},
        )
        if result.returncode:
            pytest.fail(f"{' '.join(map(str, command))}\n{result.stdout}", pytrace=False)
        return result.stdout

    return run


@pytest.fixture(scope="session")
def cmake_build(run_tool: Run) -> Callable[..., Path]:
    """A function that configures with some options, builds one target and returns the folder.

    The folders lie under build/tests and stay there: the next run compiles only changed sources.
    """

    def build(name: str, target: str, *options: str) -> Path:
        folder = ROOT / "build" / "tests" / name
        run_tool("cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *options)
        run_tool("cmake", "--build", folder, "--target", target)
        return folder

    return build
