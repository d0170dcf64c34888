"""The command line of tools/prepare_data.py."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"


def _run(*arguments):
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_shapes_then_splits(tmp_path):
    out = tmp_path / "shapes"
    options = ("--out", out, "--size", 64, "--train", 20, "--val", 2, "--seed", 1)
    made = _run("shapes", *options)
    assert made.returncode == 0, made.stderr
    assert "20/20 images" in made.stderr
    assert "already there" in _run("shapes", *options).stdout

    annotations = out / "annotations" / "instances_train.json"
    split = _run("split", annotations, "--percent", 5, 10, "--seed", 0, 1)
    assert split.returncode == 0, split.stderr
    written = [Path(line).name for line in split.stdout.splitlines()]
    assert written == [
        f"instances_train.{seed}@{percent}{part}.json"
        for seed in (0, 1)
        for percent in (5, 10)
        for part in ("", "-unlabeled")
    ]
    assert all((annotations.parent / name).is_file() for name in written)


def test_errors_are_short_and_exit_with_2(tmp_path):
    (tmp_path / "file").write_text("x")
    for arguments in [
        ("split", tmp_path / "missing.json", "--percent", 5, "--seed", 0),
        ("split", tmp_path / "file", "--percent", 5, "--seed", 0),
        ("shapes", "--out", tmp_path / "file"),
        ("shapes", "--out", tmp_path),
        ("shapes", "--out", tmp_path / "new", "--train", 0),
    ]:
        result = _run(*arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
        assert "Traceback" not in result.stderr


def test_help_has_examples():
    for command in ("shapes", "split"):
        result = _run(command, "--help")
        assert result.returncode == 0
        assert "examples:" in result.stdout
