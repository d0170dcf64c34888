"""The command line of tools/prepare_data.py."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from official_trees import write_bdd100k, write_cityscapes, write_coco
from tool_runs import run_tool

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"


def _run(*arguments):
    stdout, stderr = io.StringIO(), io.StringIO()
    status = run_tool(TOOL, arguments, stdout, stderr)
    return SimpleNamespace(returncode=status, stdout=stdout.getvalue(), stderr=stderr.getvalue())


def test_shapes_then_splits(tmp_path):
    out = tmp_path / "shapes"
    options = ("--out", out, "--size", 64, "--train", 20, "--val", 2, "--seed", 1)
    # In a process of its own, as users run the tool.
    command = [sys.executable, TOOL, "shapes", *options]
    made = subprocess.run(list(map(str, command)), capture_output=True, text=True)
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

    names = [image["file_name"] for image in json.loads(annotations.read_text())["images"]]
    (tmp_path / "chosen.txt").write_text(f"{names[4]}\n\n{names[2]}\n")
    chosen = _run("split", annotations, "--labeled", tmp_path / "chosen.txt", "--out", tmp_path)
    assert chosen.returncode == 0, chosen.stderr
    labeled, unlabeled = (json.loads(Path(p).read_text()) for p in chosen.stdout.splitlines())
    assert [image["file_name"] for image in labeled["images"]] == [names[2], names[4]]
    assert len(unlabeled["images"]) == 18
    assert (tmp_path / "instances_train.chosen-unlabeled.json").is_file()

    # Another list, with a byte order mark. A file that exists is only replaced by force.
    (tmp_path / "chosen.txt").write_text(names[3], encoding="utf-8-sig")
    before = (tmp_path / "instances_train.chosen.json").read_text()
    again = ("split", annotations, "--labeled", tmp_path / "chosen.txt", "--out", tmp_path)
    refused = _run(*again)
    assert (
        refused.returncode == 2 and "instances_train.chosen.json already exists" in refused.stderr
    )
    assert (tmp_path / "instances_train.chosen.json").read_text() == before
    assert _run(*again, "--force").returncode == 0
    labeled = json.loads((tmp_path / "instances_train.chosen.json").read_text())
    assert [image["file_name"] for image in labeled["images"]] == [names[3]]


def test_errors_are_short_and_exit_with_2(tmp_path):
    (tmp_path / "file").write_text("x")
    for arguments in [
        ("split", tmp_path / "missing.json", "--percent", 5, "--seed", 0),
        ("split", tmp_path / "file", "--percent", 5, "--seed", 0),
        ("split", tmp_path / "file", "--percent", 5),
        ("split", tmp_path / "file", "--percent", 5, "--seed", 0, "--labeled", tmp_path / "file"),
        ("shapes", "--out", tmp_path / "file"),
        ("shapes", "--out", tmp_path),
        ("shapes", "--out", tmp_path / "new", "--train", 0),
    ]:
        result = _run(*arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
        assert "Traceback" not in result.stderr


def test_official_sets(tmp_path):
    write_cityscapes(tmp_path / "cityscapes")
    write_coco(tmp_path / "coco")
    write_bdd100k(tmp_path / "bdd100k")
    for name, json_name, images in [
        ("cityscapes", "instancesonly_filtered_gtFine_train", "leftImg8bit/train"),
        ("coco", "instances_train2017-val35k", "train2017"),
        ("bdd100k", "ins_seg_train", "images/10k/train"),
    ]:
        out = tmp_path / "out" / name
        made = _run(name, tmp_path / name, "--out", out)
        assert made.returncode == 0, made.stderr
        assert "documented for the full set: " in made.stdout
        assert "100%" in made.stderr
        picture = cv2.imread(str(out / "annotations" / f"{json_name}.samples.jpg"))
        assert picture.shape[1] == 3 * 480 and picture.std() > 10
        again = _run(name, tmp_path / name, "--out", out)
        assert again.stdout.count("already there") == len(again.stdout.splitlines())
        path = out / "annotations" / f"{json_name}.json"
        checked = _run("check", path, "--images", tmp_path / name / images)
        assert checked.returncode == 0, checked.stderr
        assert "no problems found" in checked.stdout
        path.write_text(path.read_text().replace('"height": 64', '"height": 63'))
        checked = _run("check", path, "--images", tmp_path / name / images)
        assert checked.returncode == 2
        assert "images whose size differs from the json" in checked.stderr
    wrong = _run("cityscapes", tmp_path / "coco")
    assert wrong.returncode == 2
    assert f"error: {tmp_path / 'coco/leftImg8bit/train'} is missing" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_folder_lists_its_images_alone(tmp_path, monkeypatch):
    """Also from within the folder, and with the json in it."""
    folder = tmp_path / "photos" / "inner"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(folder)
    for options in ((), ("--out", folder / "list.json")):
        for _ in range(2):
            made = _run("folder", ".", *options)
            assert made.returncode == 0, made.stderr
    assert (folder.parent / "inner.json").is_file()
    assert (folder.parent / "inner.samples.jpg").is_file()
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "list.json"]


@pytest.mark.parametrize("name", ["samples.xyz", "samples"])
def test_a_picture_of_an_unknown_format_is_refused(tmp_path, name):
    assert _run("shapes", "--out", tmp_path, "--train", 2, "--val", 1).returncode == 0
    annotations = tmp_path / "annotations" / "instances_val.json"
    given = ("--images", tmp_path / "val", "--picture", tmp_path / name)
    refused = _run("check", annotations, *given)
    assert refused.returncode == 2
    assert "error: OpenCV knows no image format" in refused.stderr
    assert "Traceback" not in refused.stderr and not (tmp_path / name).exists()


def test_help_has_examples():
    commands = ("shapes", "split", "cityscapes", "coco", "bdd100k", "folder", "check", "init")
    for command in commands:
        result = _run(command, "--help")
        assert result.returncode == 0
        assert "examples:" in result.stdout
