"""Builds the native extensions with CMake; CMakeLists.txt lists the sources."""

import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()


class CMakeBuild(build_ext):
    """Configures and builds once for all extensions; CMake rebuilds only what has changed."""

    def run(self) -> None:
        output = Path(self.get_ext_fullpath("nbseg._native")).parent.resolve()
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        # Build tools from the same environment come first: pip does not activate it.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        tools = {name: shutil.which(name, path=path) for name in ("cmake", "ninja")}
        for name, found in [*tools.items(), ("pybind11", find_spec("pybind11"))]:
            if found is None:
                raise SystemExit(f"nbseg: {name} is missing. Next: pip install {name}, rebuild.")
        import pybind11

        self._run(
            *(tools["cmake"], "-S", ROOT, "-B", build, "-G", "Ninja"),
            *(f"-DCMAKE_MAKE_PROGRAM={tools['ninja']}", "-DCMAKE_BUILD_TYPE=Release"),
            *(f"-DPython_EXECUTABLE={sys.executable}", f"-DNBSEG_OUTPUT_DIR={output}"),
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        )
        self._run(tools["cmake"], "--build", build)

    @staticmethod
    def _run(*command: object) -> None:
        result = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if result.returncode == 0:
            return
        log = ROOT / "build" / "native-build.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text(result.stdout)
        raise SystemExit(f"nbseg: {_explain(result.stdout)}\nnbseg: the full output is in {log}")


def _explain(output: str) -> str:
    """Returns the cause of a failed build in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("nbseg: "):
            return line.removeprefix("nbseg: ")
        if "CMAKE_CXX_COMPILER" in line or "environment variable CXX" in line:
            return (
                "no C++ compiler found. Next: install one with C++17, or name it in CXX "
                "(Debian/Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: "
                "xcode-select --install)."
            )
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if "error:" in line:
            return f"the native build failed: {line}"
        if "CMake Error" in line:
            return f"the native build failed: {line} {following}"
    return f"the native build failed: {lines[-1] if lines else 'CMake printed nothing'}"


extensions = ["nbseg._native"] + (["nbseg._C"] if find_spec("torch") else [])
setup(
    ext_modules=[Extension(name, sources=[]) for name in extensions],
    cmdclass={"build_ext": CMakeBuild},
)
