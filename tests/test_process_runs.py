"""Several processes end with what one process ends with, and fail together."""

from forked_runs import TESTS, run_program


def test_two_processes_are_like_one(tmp_path):
    options = ["--processes", "1", "2", "--checks", "labels", "curve", "killed"]
    code, log = run_program(TESTS / "process_runs.py", "--work", tmp_path, *options)
    assert code == 0, log
    for result in ("wrote the same", "losses over 20 iterations", "the same weights"):
        assert result in log
