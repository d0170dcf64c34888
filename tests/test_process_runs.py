"""Several processes end with what one process ends with, and fail together."""

from forked_runs import TESTS, fork_program, wait_for


def test_two_processes_are_like_one(tmp_path):
    log = tmp_path / "log.txt"
    options = ["--processes", "1", "2", "--checks", "labels", "curve", "killed"]
    process = fork_program(TESTS / "process_runs.py", ["--work", tmp_path / "work", *options], log)
    assert wait_for([process]) == [0], log.read_text()
    for result in ("wrote the same", "losses over 20 iterations", "the same weights"):
        assert result in log.read_text()
