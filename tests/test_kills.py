"""Runs that are killed at random moments and resumed end like a run that nobody interrupts."""

import json
import re

from forked_runs import TESTS, run_program


def test_three_killed_runs(tmp_path):
    options = ["--runs", "3", "--seed", "5", "--iterations", "4"]
    code, log = run_program(TESTS / "kill_runs.py", "--work", tmp_path, *options)
    assert code == 0, log
    assert re.search(r"3 of 3 runs with [1-9] kills end like", log)
    results = json.loads((tmp_path / "reference.json").read_text())["digests"]
    assert {"weights of student", "predictions", "metrics.json"} <= set(results)
