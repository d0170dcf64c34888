"""COCO 2017: the written jsons partition and repeat the downloaded ones."""

import json

import pytest
from official_trees import write_coco
from pycocotools.coco import COCO

from nbseg.datasets.converters.coco2017 import convert_coco


def _read(path):
    return json.loads(path.read_text())


def _convert(root, **options):
    return {r.path.name: r for r in convert_coco(root, root / "annotations", **options)}


def test_val35k_and_its_complement_partition_train2017(tmp_path):
    was_val = set(write_coco(tmp_path, train=7))
    results = _convert(tmp_path)
    content = _read(tmp_path / "annotations/instances_train2017.json")
    val35k = _read(results["instances_train2017-val35k.json"].path)
    others = _read(results["instances_train2017-val35k-unlabeled.json"].path)
    assert {image["id"] for image in val35k["images"]} == was_val
    for part, inside in ((val35k, True), (others, False)):
        assert part["images"] == [
            image for image in content["images"] if (image["id"] in was_val) == inside
        ]
        assert part["annotations"] == [
            a for a in content["annotations"] if (a["image_id"] in was_val) == inside
        ]
        assert part["categories"] == content["categories"]
        assert part["licenses"] == content["licenses"]
    for name in ("instances_train2017.json", "instances_val2017.json"):
        source = _read(tmp_path / "annotations" / name)
        summary = results[name].summary
        assert summary.images == len(source["images"])
        assert summary.instances.total() == sum(not a["iscrowd"] for a in source["annotations"])
        assert summary.crowds.total() == sum(a["iscrowd"] for a in source["annotations"])


@pytest.mark.parametrize("listed", [True, False])
def test_unlabeled_images(tmp_path, listed):
    """With the released list of images, and from the folder without it."""
    write_coco(tmp_path, unlabeled=4)
    info = tmp_path / "annotations/image_info_unlabeled2017.json"
    images = _read(info)["images"]
    if not listed:
        info.unlink()
    prepared = _convert(tmp_path)["instances_unlabeled2017.json"]
    content = _read(prepared.path)
    if listed:
        assert content["images"] == images
    for image, expected in zip(content["images"], images, strict=True):
        for key in ("file_name", "height", "width"):
            assert image[key] == expected[key]
    assert content["annotations"] == []
    train = _read(tmp_path / "annotations/instances_train2017.json")
    assert content["categories"] == train["categories"]
    coco = COCO(prepared.path)
    assert len(coco.getCatIds()) == 80 and len(coco.getImgIds()) == 4


def test_without_2014_and_unlabeled_images_it_only_checks(tmp_path):
    write_coco(tmp_path)
    (tmp_path / "annotations/instances_val2014.json").rename(tmp_path / "val2014.json")
    (tmp_path / "unlabeled2017").rename(tmp_path / "elsewhere")
    results = _convert(tmp_path)
    assert set(results) == {"instances_train2017.json", "instances_val2017.json"}
    assert "instances_val2014.json" in results["instances_val2017.json"].notes[0]
    again = _convert(tmp_path, val2014=tmp_path / "val2014.json")
    assert "instances_train2017-val35k.json" in again


def test_a_second_run_does_nothing(tmp_path):
    write_coco(tmp_path)
    first = _convert(tmp_path)
    again = _convert(tmp_path)
    assert len(again) == 3 and all(r.summary is None for r in again.values())
    (tmp_path / "annotations/instances_train2017-val35k.json").unlink()
    once_more = _convert(tmp_path)
    written = {name for name, r in once_more.items() if r.summary}
    assert "instances_train2017-val35k.json" in written
    assert "instances_unlabeled2017.json" not in written
    assert set(once_more) == set(first)


@pytest.mark.parametrize(
    "absent",
    ["train2017", "val2017", "annotations/instances_train2017.json", "val2017/000000000021.jpg"],
)
def test_an_incomplete_tree_is_named_and_nothing_written(tmp_path, absent):
    write_coco(tmp_path)
    (tmp_path / absent).rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / absent} is missing"):
        convert_coco(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_jsons_are_refused(tmp_path):
    write_coco(tmp_path)
    train, val2014 = (
        tmp_path / f"annotations/instances_{name}.json" for name in ("train2017", "val2014")
    )
    val2014.write_text('{"images": [{"id": -1, "file_name": "a", "height": 8, "width": 8}]}')
    with pytest.raises(ValueError, match="images of train2017 in it, found 0 of 6"):
        convert_coco(tmp_path, tmp_path / "out")
    train.write_text("[]")
    with pytest.raises(ValueError, match="not a COCO json"):
        convert_coco(tmp_path, tmp_path / "out")
