"""Several processes end with what one process ends with, and fail together."""

import subprocess
import sys


def test_two_processes_are_like_one(repository, tmp_path):
    command = [sys.executable, repository / "tests" / "process_runs.py", "--work", tmp_path]
    options = ["--processes", "1", "2", "--checks", "labels", "curve", "killed"]
    done = subprocess.run(
        [*map(str, command), *options],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    for result in ("wrote the same", "losses over 20 iterations", "the same weights"):
        assert result in done.stdout
