"""Kinds of image that no label shows are named before a run, and by tools/analyze.py.

The images to label are ranked.
"""

import csv
import re
import runpy
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_config import write_tiny_config

from nbseg.analysis.ranking.order import Pick
from nbseg.analysis.ranking.page import RankedImages
from nbseg.coco import read_coco
from nbseg.config.reading import read_config
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.datasets.splits import split_indices
from nbseg.deploy.detector import build_detector
from nbseg.engine.coverage import CANNOT_TELL
from nbseg.engine.pipeline import Pipeline
from nbseg.engine.ranking import split_ranked
from nbseg.engine.stages import stage_config
from nbseg.errors import StageError
from nbseg.files import write_json
from nbseg.images import write_image
from nbseg.pseudo.predictions import ImagePredictions, PredictionWriter

PERCENT = 25


@pytest.fixture(scope="module")
def two_kinds(tmp_path_factory, repository):
    """A config with weights, and the names of the images of the kind that no label shows."""
    folder = tmp_path_factory.mktemp("kinds")
    generate_shapes(folder / "shapes", ShapesOptions(size=64, train=24, val=1))
    names = [
        image["file_name"]
        for image in read_coco(folder / "shapes/annotations/instances_train.json")["images"]
    ]
    unlabeled = np.setdiff1d(np.arange(24), split_indices(24, PERCENT, seed=0))
    generator = np.random.default_rng(0)
    others = [names[index] for index in unlabeled[::3]]
    for name in others:
        noise = generator.integers(0, 256, (64, 64, 1)).astype(np.uint8)
        write_image(folder / "shapes" / "train" / name, noise.repeat(3, 2))
    config = folder / "tiny.py"
    write_tiny_config(config, repository, folder / "shapes")
    text = config.read_text().replace("percent = 50", f"percent = {PERCENT}")
    torch.manual_seed(0)
    config.write_text(text)
    teacher = stage_config(Config.fromfile(config), "teacher", folder / "run")
    backbone = build_detector(teacher).backbone
    torch.save(backbone.state_dict(), folder / "backbone.pth")
    init = f"init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='{folder}/backbone.pth'), "
    config.write_text(text.replace("base_channels=8", f"{init}base_channels=8"))
    return config, others


@pytest.fixture(scope="module")
def analyze(repository):
    return runpy.run_path(str(repository / "tools" / "analyze.py"))["main"]


def _lines(config, tmp_path, **changes):
    read = Config.fromfile(config)
    read.merge_from_dict(changes)
    plan = Pipeline(read, tmp_path / "run", ["teacher", "predict"]).prepare()
    return [line for line in plan if re.match(r"(warning: )?coverage", line)]


def test_a_run_warns_of_a_missing_kind(two_kinds, tmp_path):
    config, others = two_kinds
    (line,) = _lines(config, tmp_path)
    assert line.startswith(f"warning: coverage: {len(others)} of 18 unlabeled images are of a kind")
    assert sum(name in line for name in others) == 2
    assert "or train with bridge_prob=0.8" in line
    (line,) = _lines(config, tmp_path, bridge_prob=0.5)
    assert "bridge_prob" not in line
    assert not _lines(config, tmp_path, check_coverage=False)


def test_a_backbone_without_feature_maps_does_not_stop_a_run(two_kinds, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("a backbone without feature maps")

    monkeypatch.setattr("nbseg.engine.coverage.pretrained_features", fail)
    (line,) = _lines(two_kinds[0], tmp_path)
    assert line.startswith("warning: coverage was not examined (RuntimeError: a backbone without")


def test_random_weights_cannot_tell(two_kinds, tmp_path):
    assert _lines(two_kinds[0], tmp_path, **{"model.backbone.init_cfg": None}) == [CANNOT_TELL]


def test_the_tool_lists_the_images_of_the_missing_kind(two_kinds, analyze, tmp_path, capsys):
    config, others = two_kinds
    out = tmp_path / "coverage"
    assert analyze(["coverage", str(config), "--out", str(out)]) == 0
    listed = (out / "uncovered.txt").read_text().splitlines()
    assert sorted(path.rsplit("/", 1)[1] for path in listed) == others
    assert "Missing kind 1" in (out / "index.html").read_text()
    assert f"coverage: {len(others)} of 18" in capsys.readouterr().out


def test_the_tool_covers_all_kinds_where_one_is_labeled(two_kinds, analyze, tmp_path, capsys):
    config, _ = two_kinds
    arguments = ["coverage", str(config), "--out", str(tmp_path), "--cfg-options", "seed=3"]
    assert analyze(arguments) == 0
    assert "labeled images show every kind of image that occurs" in capsys.readouterr().out
    assert "farthest" in (tmp_path / "index.html").read_text()


def _ranked(out):
    with (out / "rank.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_missing_kind_is_ranked_first_and_joins_the_labels(two_kinds, analyze, tmp_path):
    config, others = two_kinds
    assert analyze(["rank", str(config), "--count", "3", "--out", str(tmp_path)]) == 0
    rows = _ranked(tmp_path)
    picked = {row["file"].rsplit("/", 1)[1] for row in rows}
    assert len(picked) == 3
    assert rows[0]["file"].rsplit("/", 1)[1] in others
    assert (
        rows[0]["reason"] == f"most typical of {len(others)} images of a kind that no labeled "
        "image shows"
    )
    before, beside = (
        read_coco(tmp_path / "splits" / f"instances_train.0@25{part}.json")
        for part in ("", "-unlabeled")
    )
    labeled, unlabeled = (read_coco(tmp_path / f"{n}.json") for n in ("labeled", "unlabeled"))
    names = [{i["file_name"] for i in part["images"]} for part in (before, labeled, unlabeled)]
    assert names[1] == names[0] | picked and len(names[2]) == 15 and not names[1] & names[2]
    assert len(labeled["annotations"]) + len(unlabeled["annotations"]) == len(
        before["annotations"] + beside["annotations"]
    )
    assert {a["image_id"] for a in labeled["annotations"]} <= {i["id"] for i in labeled["images"]}


def test_images_of_a_folder_are_ranked_without_any_label(two_kinds, analyze, tmp_path, capsys):
    config, others = two_kinds
    folder = config.parent / "shapes" / "train"
    arguments = ["rank", str(config), "--images", str(folder), "--cold-start", "--out"]
    missing = ["--cfg-options", "data_root=/nowhere"]
    assert analyze([*arguments, str(tmp_path), "--count", "2", *missing]) == 0
    kinds = [int(re.search(r"of (\d+) images", row["reason"])[1]) for row in _ranked(tmp_path)]
    assert kinds == [24 - len(others), len(others)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "rank.csv"]
    assert analyze([*arguments, str(tmp_path), "--count", "25", *missing]) == 2
    assert "--count 25 exceeds the 24 unlabeled images" in capsys.readouterr().err


def test_a_model_decides_between_covered_images(two_kinds, analyze, tmp_path, capsys):
    """All kinds have a label with this seed, and the model is unsure about one image alone."""
    config, _ = two_kinds
    folder = config.parent / "shapes" / "train"
    names = sorted(path.name for path in folder.iterdir())
    unsure = {name: name == names[-1] for name in names}
    writer = PredictionWriter(tmp_path / "store", ["any"])
    box, label = np.array([[0, 0, 9, 9]], np.float32), np.zeros(1, np.int64)
    for number, name in enumerate(names):
        score = np.array([0.5 if unsure[name] else 1], np.float32)
        masks = np.full((1, 2, 2), 128, np.uint8)
        writer.append([ImagePredictions(number, name, 64, 64, box, score, label, masks)])
    writer.flush()
    arguments = ["rank", str(config), "--count", "2", "--out", str(tmp_path / "out")]
    arguments += ["--cfg-options", "seed=3"]
    assert analyze([*arguments, "--predictions", str(tmp_path / "store")]) == 0
    first, second = _ranked(tmp_path / "out")
    assert first["file"] == str(folder / names[-1])
    assert (first["uncertainty"], second["uncertainty"]) == ("1.0000", "0.0000")
    assert analyze([*arguments, "--predictions", str(tmp_path)]) == 2
    assert "has no predictions of 18 of the 18 unlabeled images" in capsys.readouterr().err


def test_the_annotations_of_a_run_are_not_overwritten(two_kinds, analyze, tmp_path, capsys):
    config, _ = two_kinds
    truth = config.parent / "shapes" / "annotations" / "instances_train.json"
    for name, option in [
        ("labeled.json", "labeled_json"),
        ("unlabeled.json", "unlabeled_json"),
        ("labeled.json", "val_json"),
        ("labeled.json", "split.ann_file"),
    ]:
        out = tmp_path / option
        out.mkdir()
        shutil.copy(truth, out / name)
        arguments = ["rank", str(config), "--count", "1", "--out", str(out)]
        assert analyze([*arguments, "--cfg-options", f"{option}={out / name}"]) == 2
        assert f"{name} would be overwritten, but the config reads" in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == [name]
        assert (out / name).read_bytes() == truth.read_bytes()


def test_validation_images_are_not_ranked(two_kinds, analyze, tmp_path, capsys):
    config, others = two_kinds
    shapes = config.parent / "shapes"
    content = read_coco(shapes / "annotations" / "instances_train.json")
    content["images"] = [image for image in content["images"] if image["file_name"] in others]
    held = {image["id"] for image in content["images"]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in held]
    write_json(tmp_path / "val.json", content)
    folder = f"val_images={shapes / 'train'}"
    arguments = ["rank", str(config), "--images", str(shapes / "train"), "--cold-start"]
    arguments += ["--out", str(tmp_path), "--count", "19", "--cfg-options"]
    assert analyze([*arguments, f"val_json={tmp_path / 'val.json'}", folder]) == 2
    assert f"exceeds the {24 - len(others)} unlabeled images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "25"], "--count 25 exceeds the 18 unlabeled images that can be examined"),
        (["--count", "3", "--limit", "2"], "or a higher --limit"),
        (["--predictions", "{out}"], "no predictions of 18 of the 18 unlabeled images"),
        (["--predictions", "{out}/none"], "there is no prediction store at"),
        (["--predictions", "{out}", "--cold-start"], "also ranks the labeled images"),
    ],
)
def test_wrong_arguments_are_found_before_the_features(
    two_kinds, analyze, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.setattr("nbseg.engine.ranking.pretrained_features", pytest.fail)
    arguments = ["--count", "2", *(part.replace("{out}", str(tmp_path)) for part in arguments)]
    assert analyze(["rank", str(two_kinds[0]), "--out", str(tmp_path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_copies_of_images_are_not_ranked(two_kinds, analyze, tmp_path, capsys):
    folder = two_kinds[0].parent / "shapes" / "train"
    (tmp_path / "twice").mkdir()
    for path in sorted(folder.iterdir())[:3]:
        for name in (path.name, f"copy-{path.name}"):
            shutil.copy(path, tmp_path / "twice" / name)
    arguments = ["rank", str(two_kinds[0]), "--images", str(tmp_path / "twice"), "--cold-start"]
    assert analyze([*arguments, "--count", "4", "--out", str(tmp_path)]) == 2
    assert "--count 4 exceeds the 3 unlabeled images" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
@pytest.mark.parametrize("option", ["--count", "--limit"])
def test_numbers_of_images_are_positive(analyze, capsys, option, number):
    with pytest.raises(SystemExit):
        analyze(["rank", "none.py", "--count", "1", "--out", "out", f"{option}={number}"])
    assert f"argument {option}: expected a whole number of at least 1" in capsys.readouterr().err


def _stages_of_two_jsons(config, folder, content, labeled, **options):
    """Return the stages teacher and predict if the first images are labeled, by two jsons."""
    jsons = {name: str(folder / name) for name in ("labeled_json", "unlabeled_json")}
    images = content["images"]
    for path, part in zip(jsons.values(), (images[:labeled], images[labeled:]), strict=True):
        ids = {image["id"] for image in part}
        kept = [a for a in content["annotations"] if a["image_id"] in ids]
        write_json(path, {**content, "images": part, "annotations": kept})
    read = read_config(config, {**jsons, **options})
    return [stage_config(read, name, folder / "run") for name in ("teacher", "predict")]


def test_copies_of_a_chosen_image_become_labeled_too(two_kinds, tmp_path):
    shapes = two_kinds[0].parent / "shapes"
    content = read_coco(shapes / "annotations" / "instances_train.json")
    content["images"] = content["images"][:4]
    names = [image["file_name"] for image in content["images"]]
    paths = [tmp_path / "train" / name for name in names]
    paths[0].parent.mkdir()
    for name, path in zip([*names[:3], names[2]], paths, strict=True):
        shutil.copy(shapes / "train" / name, path)
    folder = str(tmp_path / "train")
    stages = _stages_of_two_jsons(
        two_kinds[0], tmp_path, content, 1, train_images=folder, unlabeled_folder=folder
    )
    found = RankedImages((paths[0],), tuple(paths[1:]), (Pick(1, 0, 0, 0, 0.5, None),), 3)
    written = tmp_path / "l.json", tmp_path / "u.json"
    assert split_ranked(*stages, found, written) == []
    found_names = [{i["file_name"] for i in read_coco(path)["images"]} for path in written]
    assert found_names == [{names[0], names[2], names[3]}, {names[1]}]


@pytest.mark.parametrize("bare", [1, 2])
def test_chosen_images_without_annotations_are_named(two_kinds, tmp_path, bare):
    shapes = two_kinds[0].parent / "shapes"
    content = read_coco(shapes / "annotations" / "instances_train.json")
    images, folder = content["images"], shapes / "train"
    left = {image["id"] for image in images} - {image["id"] for image in images[4 : 4 + bare]}
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] in left]
    stages = _stages_of_two_jsons(two_kinds[0], tmp_path, content, 4)
    unlabeled = tuple(folder / image["file_name"] for image in images[4:])
    picks = tuple(Pick(index, 0, 0, 0, 0.5, None) for index in range(2))
    found = RankedImages((folder / images[0]["file_name"],), unlabeled, picks, 20)
    paths = tmp_path / "l.json", tmp_path / "u.json"
    if bare == 2:
        with pytest.raises(StageError, match="no annotations of the chosen images"):
            split_ranked(*stages, found, paths)
        assert not any(path.exists() for path in paths)
        return
    assert split_ranked(*stages, found, paths) == [images[4]["file_name"]]
    assert [len(read_coco(path)["images"]) for path in paths] == [6, 18]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["model.backbone.init_cfg=None"], "random features cannot tell which images resemble"),
        (["labeled_json=/nowhere.json"], "no labeled image to compare with; correct labeled_json"),
        (["unlabeled_json={labeled_json}"], "every image has a label already"),
    ],
)
def test_the_ranking_says_what_is_missing(two_kinds, analyze, tmp_path, capsys, options, message):
    arguments = ["rank", str(two_kinds[0]), "--count", "1", "--out", str(tmp_path)]
    assert analyze([*arguments, "--cfg-options", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "rank.csv").exists()
