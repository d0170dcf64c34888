"""Runs that are killed at random moments and resumed end like a run that nobody interrupts."""

import json
import re

from forked_runs import TESTS, fork_program, wait_for


def test_three_killed_runs(tmp_path):
    work, log = tmp_path / "work", tmp_path / "log.txt"
    options = ["--runs", "3", "--seed", "5", "--iterations", "4"]
    process = fork_program(TESTS / "kill_runs.py", ["--work", work, *options], log)
    assert wait_for([process]) == [0], log.read_text()
    assert re.search(r"3 of 3 runs with [1-9] kills end like", log.read_text())
    results = json.loads((work / "reference.json").read_text())["digests"]
    assert {"weights of student", "predictions", "metrics.json"} <= set(results)
