"""Cityscapes' jsons equal a decoding of the same files by numpy, and the official tools."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from official_trees import write_cityscapes
from PIL import Image
from pycocotools import mask as coco_mask

from nbseg.datasets.converters import parallel
from nbseg.datasets.converters.cityscapes import CATEGORIES, convert_cityscapes
from nbseg.datasets.converters.cityscapes_polygons import rasterize_polygons
from nbseg.datasets.converters.instance_map import encode_instances

CLASSES = {
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip


def _read(prepared):
    return json.loads(prepared.path.read_text())


def _by_image(content):
    grouped = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        grouped[annotation["image_id"]].append(annotation)
    return [(image, grouped[image["id"]]) for image in content["images"]]


def _expected(ids):
    """What the documentation of instanceIds says, in numpy: (category, is group, mask)."""
    found = []
    for number in np.unique(ids):
        category = number // 1000 if number >= 1000 else number
        if category in CLASSES:
            found.append((category, number < 1000, ids == number))
    return found


def _assert_equal(annotations, ids):
    expected = _expected(ids)
    assert len(annotations) == len(expected)
    for annotation, (category, group, mask) in zip(annotations, expected, strict=True):
        assert annotation["category_id"] == category
        assert annotation["iscrowd"] == int(group)
        assert annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        x, y = columns.min(), rows.min()
        assert annotation["bbox"] == [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
        encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert annotation["segmentation"]["counts"].encode() == encoded["counts"]
        assert annotation["segmentation"]["size"] == list(mask.shape)


def test_equals_the_pngs(tmp_path):
    made = write_cityscapes(tmp_path, train=4, val=2, train_extra=2)
    results = convert_cityscapes(tmp_path, tmp_path / "annotations")
    assert [r.path.name for r in results] == [
        "instancesonly_filtered_gtFine_train.json",
        "instancesonly_filtered_gtFine_val.json",
        "instancesonly_filtered_gtCoarse_train_extra.json",
    ]
    for prepared, split in zip(results, ("train", "val", "train_extra"), strict=True):
        content = _read(prepared)
        kind = "gtCoarse" if split == "train_extra" else "gtFine"
        assert [(c["id"], c["name"]) for c in content["categories"]] == list(CLASSES.items())
        names = sorted(name for name in made if name.startswith(f"{split}/"))
        assert len(content["images"]) == len(names)
        for (image, annotations), name in zip(_by_image(content), names, strict=True):
            place = name.split("/", 1)[1]
            assert image["file_name"] == f"{place}_leftImg8bit.png"
            assert (prepared.image_folder / image["file_name"]).is_file()
            png = Image.open(tmp_path / kind / f"{name}_{kind}_instanceIds.png")
            ids = np.array(png).astype(int)
            assert (image["height"], image["width"]) == ids.shape
            _assert_equal(annotations, ids)
        counts = [len(annotations) for _, annotations in _by_image(content)]
        assert sum(counts) > 0
        assert prepared.summary.images == len(names)
        total = prepared.summary.instances.total() + prepared.summary.crowds.total()
        assert total == sum(counts)
    train = _read(results[0])
    assert not _by_image(train)[-1][1], "images without instances are kept"
    assert results[0].summary.empty == 1
    for key in ("images", "annotations"):
        assert [item["id"] for item in train[key]] == list(range(1, len(train[key]) + 1))


def test_polygons_stand_in_for_missing_pngs(tmp_path):
    made = write_cityscapes(tmp_path, masks="polygons")
    prepared = convert_cityscapes(tmp_path, tmp_path / "annotations", ["train"])[0]
    assert "rasterized" in " ".join(prepared.notes)
    for image, annotations in _by_image(_read(prepared)):
        stem = image["file_name"].removesuffix("_leftImg8bit.png")
        _assert_equal(annotations, made[f"train/{stem}"])


def test_processes_change_nothing(tmp_path, monkeypatch):
    write_cityscapes(tmp_path, train=5)
    monkeypatch.setattr(parallel, "FEW", 0)
    one, two = (
        convert_cityscapes(tmp_path, tmp_path / str(workers), ["train"], workers)[0]
        for workers in (1, 2)
    )
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.summary == two.summary


def test_a_second_run_does_nothing_and_other_files_are_refused(tmp_path):
    write_cityscapes(tmp_path, train=3)
    out = tmp_path / "annotations"
    path = convert_cityscapes(tmp_path, out, ["train"])[0].path
    before = path.stat()
    assert convert_cityscapes(tmp_path, out, ["train"])[0].summary is None
    assert path.stat().st_mtime_ns == before.st_mtime_ns

    write_cityscapes(tmp_path, train=4)
    with pytest.raises(FileExistsError, match="made from other files.*--force"):
        convert_cityscapes(tmp_path, out, ["train"])
    assert convert_cityscapes(tmp_path, out, ["train"], force=True)[0].summary.images == 4
    path.write_text('{"images": []}')
    with pytest.raises(FileExistsError, match="not written by nbseg.*--force"):
        convert_cityscapes(tmp_path, out, ["train"])


def test_one_refusal_writes_nothing(tmp_path):
    write_cityscapes(tmp_path)
    out = tmp_path / "annotations"
    out.mkdir()
    (out / "instancesonly_filtered_gtFine_val.json").write_text("{}")
    with pytest.raises(FileExistsError, match="gtFine_val.json"):
        convert_cityscapes(tmp_path, out)
    assert len(list(out.iterdir())) == 1


def test_what_does_not_pair_is_noted(tmp_path):
    write_cityscapes(tmp_path, train_extra=2)
    next(tmp_path.glob("leftImg8bit/val/*/*")).unlink()
    (tmp_path / "gtCoarse").rename(tmp_path / "elsewhere")
    train, val = convert_cityscapes(tmp_path, tmp_path / "annotations")
    assert train.notes == []
    assert "annotation files without an image: 1" in val.notes[0]
    assert "train_extra has no labels in gtCoarse" in val.notes[1]


@pytest.mark.parametrize(
    ("absent", "named"),
    [
        ("leftImg8bit/val", "leftImg8bit/val"),
        ("gtFine/train", "gtFine/train"),
        ("gtFine", "gtFine/train"),
        (
            "gtFine/val/frankfurt/frankfurt_000001_000019_gtFine_*",
            "gtFine/val/frankfurt/frankfurt_000001_000019_gtFine_instanceIds.png",
        ),
        ("leftImg8bit/train/aachen/*.png", "leftImg8bit/train/CITY"),
    ],
)
def test_an_incomplete_tree_is_named_and_nothing_written(tmp_path, absent, named):
    write_cityscapes(tmp_path)
    for path in list(tmp_path.glob(absent)):
        path.rename(tmp_path / f"moved-{path.name}".replace("_", "-"))
    with pytest.raises(FileNotFoundError) as error:
        convert_cityscapes(tmp_path, tmp_path / "annotations")
    assert str(tmp_path / named) in str(error.value)
    assert "gtFine_trainvaltest.zip" in str(error.value)
    assert not (tmp_path / "annotations").exists()


def test_broken_files_are_named_and_nothing_half_written(tmp_path):
    write_cityscapes(tmp_path)
    folder = tmp_path / "gtFine/train/aachen"
    path = folder / "aachen_000002_000019_gtFine_instanceIds.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    with pytest.raises(ValueError, match="aachen_000002.*cannot be read"):
        convert_cityscapes(tmp_path, tmp_path / "annotations")
    assert not list((tmp_path / "annotations").iterdir())
    cv2.imwrite(str(path), np.zeros((10, 20), np.uint16))
    with pytest.raises(ValueError, match="aachen_000002.* 128x64 pixels, but .* has 20x10"):
        convert_cityscapes(tmp_path, tmp_path / "annotations")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_runs_of_a_map_are_the_bytes_of_pycocotools(dtype):
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (1, 7), (7, 1), (5, 6), (33, 20)]:
        for numbers in (1, 2, 9):
            ids = rng.integers(0, numbers, shape).astype(dtype)
            found = encode_instances(ids, lambda number: number != 3)
            assert list(found) == [n for n in np.unique(ids).tolist() if n != 3]
            for number, annotation in found.items():
                mask = np.asfortranarray((ids == number).astype(np.uint8))
                rle = coco_mask.encode(mask)
                assert annotation["segmentation"]["counts"].encode() == rle["counts"]
                assert annotation["bbox"] == coco_mask.toBbox(rle).tolist()
                assert annotation["area"] == mask.sum()


def _write_random_polygons(path, rng, labels):
    """Stars that overlap, leave the image and degenerate to lines."""
    objects = []
    for index in range(60):
        count = int(rng.integers(2, 30))
        angles = np.sort(rng.uniform(0, 2 * np.pi, count))
        radii = rng.uniform(0, 90, count)
        points = rng.uniform(0, [400, 200]) + np.stack(
            [radii * np.cos(angles), radii * np.sin(angles)], axis=1
        )
        objects.append({"label": str(rng.choice(labels)), "polygon": points.round().tolist()})
        if index % 9 == 0:
            objects[-1]["deleted"] = 1
    path.write_text(json.dumps({"imgHeight": 200, "imgWidth": 400, "objects": objects}))


def test_polygons_equal_cityscapesscripts(tmp_path):
    json2instance = pytest.importorskip("cityscapesscripts.preparation.json2instanceImg")
    from cityscapesscripts.helpers.labels import labels

    names = [label.name for label in labels]
    groups = [f"{label.name}group" for label in labels if label.hasInstances]
    rng = np.random.default_rng(1)
    for index in range(5):
        path = tmp_path / f"{index}.json"
        _write_random_polygons(path, rng, names + groups)
        annotation = json2instance.Annotation()
        annotation.fromJsonFile(str(path))
        expected = np.array(json2instance.createInstanceImage(annotation, "ids"))
        np.testing.assert_array_equal(rasterize_polygons(path), expected)
    evaluated = [(la.id, la.name) for la in labels if la.hasInstances and not la.ignoreInEval]
    assert [(c["id"], c["name"]) for c in CATEGORIES] == evaluated


def test_equals_the_converter_of_mmdetection(tmp_path):
    pytest.importorskip("cityscapesscripts.helpers.labels")
    package = Path(importlib.util.find_spec("mmdet").origin).parent
    script = package / ".mim/tools/dataset_converters/cityscapes.py"
    spec = importlib.util.spec_from_file_location("mmdet_cityscapes", script)
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    write_cityscapes(tmp_path)
    ours = _read(convert_cityscapes(tmp_path, tmp_path / "ours", ["train"])[0])
    files = theirs.collect_files(
        str(tmp_path / "leftImg8bit/train"), str(tmp_path / "gtFine/train")
    )
    infos = theirs.collect_annotations(sorted(files))
    content = theirs.cvt_annotations(infos, str(tmp_path / "theirs.json"))
    for key in ("images", "annotations"):
        for item in content[key]:
            item["id"] += 1
            if "image_id" in item:
                item["image_id"] += 1
    for key in ("images", "annotations", "categories"):
        assert ours[key] == content[key]


def test_unknown_labels_are_refused(tmp_path):
    path = tmp_path / "b_polygons.json"
    item = {"label": "spaceship", "polygon": [[0, 0], [1, 1], [1, 0]]}
    path.write_text(json.dumps({"imgHeight": 4, "imgWidth": 4, "objects": [item]}))
    with pytest.raises(
        ValueError, match="b_polygons.json: objects.0. has the label 'spaceship', which .* define; "
    ):
        rasterize_polygons(path)


def test_mmdetection_loads_the_json(tmp_path):
    from mmdet.datasets import CityscapesDataset

    write_cityscapes(tmp_path)
    prepared = convert_cityscapes(tmp_path, tmp_path / "annotations")[0]
    dataset = CityscapesDataset(
        ann_file=str(prepared.path),
        data_prefix={"img": str(prepared.image_folder)},
        filter_cfg={"filter_empty_gt": True, "min_size": 32},
        pipeline=[],
    )
    assert len(dataset) == 3, "the image without instances is left out"
    content = _read(prepared)
    for info, (_, annotations) in zip(dataset, _by_image(content), strict=False):
        assert Path(info["img_path"]).is_file()
        labels = [list(CLASSES).index(a["category_id"]) for a in annotations]
        assert [instance["bbox_label"] for instance in info["instances"]] == labels
        crowds = [a["iscrowd"] for a in annotations]
        assert [instance["ignore_flag"] for instance in info["instances"]] == crowds


@pytest.mark.parametrize("side", [0, -1, 2**31, 64.0, "64", None])
def test_a_damaged_size_is_refused_before_it_takes_memory(tmp_path, side):
    path = tmp_path / "a_polygons.json"
    path.write_text(json.dumps({"imgWidth": side, "imgHeight": 64, "objects": []}))
    with pytest.raises(
        ValueError, match="a_polygons.json: expected imgWidth and imgHeight of 1 to 8192 pixels"
    ):
        rasterize_polygons(path)
