"""Check the command line of tools/analyze.py."""

import json
import runpy

import pytest
from pycocotools import mask as coco_mask

from nbseg.datasets.shapes import ShapesOptions, generate_shapes


@pytest.fixture(scope="module")
def analyze(repository):
    """Return the main function of the tool, which returns the exit status."""
    return runpy.run_path(str(repository / "tools" / "analyze.py"))["main"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Generate a data set, and its true annotations with scores as pseudo-labels."""
    folder = tmp_path_factory.mktemp("shapes")
    generate_shapes(folder / "shapes", ShapesOptions(size=64, train=4, val=1))
    truth = folder / "shapes" / "annotations" / "instances_train.json"
    content = json.loads(truth.read_text())
    for annotation in content["annotations"]:
        annotation["score"] = 0.75
    (folder / "pseudo.json").write_text(json.dumps(content))
    return {
        "pseudo": folder / "pseudo.json",
        "truth": truth,
        "images": folder / "shapes" / "train",
        "annotations": content["annotations"],
    }


def test_a_report_and_a_table(analyze, data, tmp_path, capsys):
    out = tmp_path / "new" / "report"
    arguments = ["pseudo", data["pseudo"], "--images", data["images"], "--out", out]
    assert analyze([str(a) for a in [*arguments, "--truth", data["truth"]]]) == 0
    printed = capsys.readouterr().out
    number = len(data["annotations"])
    assert (
        f"{number} pseudo-labels on 4 images: {number / 4:.2f} per image, "
        "0 images without pseudo-labels" in printed
    )
    rows = [line.split() for line in printed.splitlines()]
    assert ["class", *("precision", "recall", "F1") * 2] in rows
    assert ["all", *["100.0"] * 6] in rows
    assert ["report:", str(out / "index.html")] in rows
    analysis = json.loads((out / "analysis.json").read_text())
    assert analysis["noise"]["total"]["0.75"]["f1"] == 1
    areas = sum(int(coco_mask.area(a["segmentation"])) > 0 for a in data["annotations"])
    assert analysis["noise"]["iou_by_size"][2]["pairs"] == areas


def test_without_truth_there_is_no_table(analyze, data, tmp_path, capsys):
    arguments = ["pseudo", data["pseudo"], "--images", data["images"], "--out", tmp_path]
    assert analyze([str(a) for a in [*arguments, "--images-per-tab", 2]]) == 0
    assert "precision" not in capsys.readouterr().out
    analysis = json.loads((tmp_path / "analysis.json").read_text())
    assert analysis["noise"] is None
    assert {len(images) for images in analysis["gallery"].values()} == {2}


def test_errors_are_short_and_exit_with_2(analyze, data, tmp_path, capsys):
    out = tmp_path / "report"
    for pseudo, images, *more in [
        (tmp_path / "missing.json", data["images"]),
        (data["pseudo"], tmp_path),
        (data["truth"], data["images"]),
        (data["pseudo"], data["images"], "--truth", tmp_path / "missing.json"),
        (data["pseudo"], data["images"], "--images-per-tab", 0),
    ]:
        arguments = ["pseudo", pseudo, "--images", images, "--out", out, *more]
        assert analyze([str(a) for a in arguments]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ")
        assert len(printed.err.splitlines()) == 1
        assert not out.exists()


def test_figures_of_two_models(analyze, data, tmp_path, capsys):
    out = tmp_path / "noise"
    named = [f"{name}={data['pseudo']}" for name in ("one", "two")]
    arguments = ["noise", "--predictions", *named, "--truth", data["truth"], "--out", out]
    assert analyze([str(a) for a in arguments]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    number = str(len(data["annotations"]))
    for name in ("one", "two"):
        assert [name, number, number, "100.0", "0.0"] in rows
    assert {path.name for path in out.iterdir()} == {
        f"{figure}.{kind}"
        for figure in ("fig3a", "fig3b", "errors", "recall")
        for kind in ("csv", "png")
    }


def test_two_models_side_by_side(analyze, data, tmp_path, capsys):
    out = tmp_path / "comparison"
    arguments = ["compare", f"one={data['pseudo']}", data["pseudo"], "--images", data["images"]]
    assert analyze([str(a) for a in [*arguments, "--truth", data["truth"], "--out", out]]) == 0
    printed = capsys.readouterr().out
    number = len(data["annotations"])
    assert f"4 images; {number} objects found by both, 0 only by one, 0 only by B" in printed
    assert "higher panoptic quality: one on 0 images, B on 0" in printed
    assert sorted(path.name for path in out.iterdir()) == [
        "comparison.csv",
        "index.html",
        "pictures",
    ]


def test_errors_of_the_other_commands(analyze, data, tmp_path, capsys):
    out = tmp_path / "out"
    truth, pseudo = data["truth"], data["pseudo"]
    for arguments in [
        ["noise", "--predictions", "a=missing.json", "--truth", truth],
        ["noise", "--predictions", f"a={pseudo}", f"a={pseudo}", "--truth", truth],
        ["compare", pseudo, "missing.onnx", "--images", data["images"]],
        ["compare", pseudo, pseudo, "--images", tmp_path],
        ["compare", f"B={pseudo}", pseudo, "--images", data["images"]],
    ]:
        assert analyze([str(a) for a in [*arguments, "--out", out]]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ")
        assert len(printed.err.splitlines()) == 1
        assert not out.exists()
    with pytest.raises(SystemExit):
        analyze(["noise", "--predictions", str(pseudo), "--truth", str(truth), "--out", str(out)])
    assert "NAME=FILE" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pseudo", "noise", "compare"])
def test_help_has_examples(analyze, capsys, command):
    with pytest.raises(SystemExit):
        analyze([command, "--help"])
    assert "examples:" in capsys.readouterr().out
