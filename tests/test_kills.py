"""Runs that are killed at random moments and resumed end like a run that nobody interrupts."""

import json
import re
import subprocess
import sys


def test_three_killed_runs(repository, tmp_path):
    command = [sys.executable, repository / "tests" / "kill_runs.py", "--work", tmp_path]
    done = subprocess.run(
        [*map(str, command), "--runs", "3", "--seed", "5", "--iterations", "4"],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"3 of 3 runs with [1-9] kills end like", done.stdout)
    results = json.loads((tmp_path / "reference.json").read_text())["digests"]
    assert {"weights of student", "predictions", "metrics.json"} <= set(results)
