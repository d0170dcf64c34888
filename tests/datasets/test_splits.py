"""Splits equal those of the paper's released code."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from nbseg.datasets.splits import split_indices, write_chosen_split, write_split


def _coco(count, per_image=2):
    images = [
        {"id": 10 * i + 7, "file_name": f"{i}.jpg", "height": 8, "width": 8} for i in range(count)
    ]
    annotations = [
        {"id": n, "image_id": images[n % count]["id"], "category_id": 1, "bbox": [0, 0, 2, 2]}
        for n in range(per_image * count)
    ]
    categories = [{"id": 1, "name": "thing"}]
    info = {"year": 2022}
    return {"info": info, "images": images, "annotations": annotations, "categories": categories}


def _write(path, content):
    path.write_text(json.dumps(content))
    return path


def _released(count, percent, seed):
    """The released code's draw, on numpy's global generator; its state is put back."""
    state = np.random.get_state()
    np.random.seed(seed)
    indices = np.arange(count)
    np.random.shuffle(indices)
    np.random.set_state(state)
    return indices[: int(percent * count / 100)]


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 42])
@pytest.mark.parametrize(
    ("count", "percents"), [(2975, (5, 10, 20, 30, 40)), (118287, (1, 2, 5, 10))]
)
def test_indices_equal_the_released_shuffle(count, percents, seed):
    for percent in percents:
        found = split_indices(count, percent, seed)
        np.testing.assert_array_equal(found, _released(count, percent, seed))


def test_released_numbers_of_labeled_images():
    assert [len(split_indices(2975, p, 1)) for p in (5, 10, 20, 30, 40)] == [
        148, 297, 595, 892, 1190,
    ]  # fmt: skip
    assert [len(split_indices(118287, p, 1)) for p in (1, 2, 5, 10)] == [1182, 2365, 5914, 11828]


def test_rounding_is_that_of_the_released_code():
    """It divides by 100 first, in floating point: 29 / 100 * 100 is just below 29."""
    assert len(split_indices(100, 29, 0)) == 28


def test_global_generator_is_left_alone():
    np.random.seed(5)
    expected = np.random.random(3)
    np.random.seed(5)
    split_indices(100, 10, 1)
    np.testing.assert_array_equal(np.random.random(3), expected)


def test_files_partition_images_and_annotations_in_their_order(tmp_path):
    content = _coco(40)
    source = _write(tmp_path / "instances_train.json", content)
    labeled_path, unlabeled_path = write_split(source, 20, 3)
    assert labeled_path == tmp_path / "instances_train.3@20.json"
    assert unlabeled_path == tmp_path / "instances_train.3@20-unlabeled.json"
    labeled, unlabeled = (json.loads(p.read_text()) for p in (labeled_path, unlabeled_path))

    chosen = sorted(_released(40, 20, 3))
    assert labeled["images"] == [content["images"][i] for i in chosen]
    assert unlabeled["images"] == [i for i in content["images"] if i not in labeled["images"]]
    ids = {i["id"] for i in labeled["images"]}
    assert labeled["annotations"] == [a for a in content["annotations"] if a["image_id"] in ids]
    assert len(unlabeled["annotations"]) == 2 * 32
    for part in (labeled, unlabeled):
        assert part["categories"] == content["categories"]
        assert part["info"] == content["info"]
    assert len(COCO(unlabeled_path).imgs) == 32
    assert len(list(tmp_path.iterdir())) == 3


def test_fractional_percent_and_other_folder(tmp_path):
    source = _write(tmp_path / "a.json", _coco(400, per_image=1))
    labeled, unlabeled = write_split(source, 0.5, 0, tmp_path / "splits")
    assert labeled == tmp_path / "splits" / "a.0@0.5.json"
    assert unlabeled == tmp_path / "splits" / "a.0@0.5-unlabeled.json"
    assert len(json.loads(labeled.read_text())["images"]) == 2
    assert write_split(source, 5.0, 0)[0].name == "a.0@5.json"


@pytest.mark.parametrize(
    ("percent", "seed", "message"),
    [
        (0, 0, "greater than 0 and less than 100, found 0"),
        (100, 0, "greater than 0 and less than 100, found 100"),
        (float("nan"), 0, "found nan"),
        (1, 0, "1% of 10 images, rounded down, is 0, but the labeled"),
        (50, -1, "seed"),
        (50, 2**32, "seed"),
    ],
)
def test_wrong_arguments_are_named_and_nothing_is_written(tmp_path, percent, seed, message):
    source = _write(tmp_path / "a.json", _coco(10))
    with pytest.raises(ValueError, match=message):
        write_split(source, percent, seed)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*missing\.json"):
        write_split(tmp_path / "missing.json", 10, 0)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json cannot be read as json"):
        write_split(broken, 10, 0)
    with pytest.raises(ValueError, match="list.json is not a COCO json"):
        write_split(_write(tmp_path / "list.json", [1]), 10, 0)
    twice = _coco(10)
    twice["images"][1]["id"] = twice["images"][0]["id"]
    with pytest.raises(ValueError, match="the id 7 occurs 2 times in images; ids must be unique"):
        write_split(_write(tmp_path / "twice.json", twice), 10, 0)
    stray = _coco(10)
    stray["annotations"][4]["image_id"] = 5
    with pytest.raises(ValueError, match="annotation 4 has the image_id 5, but images"):
        write_split(_write(tmp_path / "stray.json", stray), 10, 0)
    nameless = _coco(10)
    del nameless["images"][3]["id"]
    with pytest.raises(ValueError, match=r"images\[3\] has no 'id'"):
        write_split(_write(tmp_path / "nameless.json", nameless), 10, 0)


def test_chosen_images_of_two_files_become_the_labeled_part(tmp_path):
    content = _coco(6)
    first, second = (dict(content) for _ in range(2))
    for part, images in ((first, content["images"][:2]), (second, content["images"][2:])):
        ids = {image["id"] for image in images}
        part["images"] = images
        part["annotations"] = [a for a in content["annotations"] if a["image_id"] in ids]
    files = [_write(tmp_path / f"{n}.json", c) for n, c in (("a", first), ("b", second))]
    paths = tmp_path / "labeled.json", tmp_path / "unlabeled.json"
    write_chosen_split(files, ["1.jpg", "4.jpg"], paths)
    labeled, unlabeled = (json.loads(path.read_text()) for path in paths)
    assert [i["file_name"] for i in labeled["images"]] == ["1.jpg", "4.jpg"]
    assert [a["image_id"] for a in labeled["annotations"]] == [17, 17, 47, 47]
    assert [i["file_name"] for i in unlabeled["images"]] == ["0.jpg", "2.jpg", "3.jpg", "5.jpg"]
    assert len(unlabeled["annotations"]) == 8
    assert labeled["info"] == unlabeled["info"] == content["info"]


@pytest.mark.parametrize(
    ("names", "change", "message"),
    [
        (["9.jpg"], {}, "image '9.jpg' occurs 0 times"),
        ([], {}, "0 of 8 images would be labeled"),
        ([f"{n}.jpg" for n in range(8)], {}, "8 of 8 images would be labeled"),
        (["1.jpg"], {"categories": []}, "different categories"),
        (["1.jpg"], {"images": _coco(1)["images"]}, "have the same ids"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, names, change, message):
    first, second = _coco(4), {**_coco(8), "annotations": []}
    second["images"] = second["images"][4:]
    files = [_write(tmp_path / f"{n}.json", c) for n, c in (("a", first), ("b", second | change))]
    with pytest.raises(ValueError, match=message):
        write_chosen_split(files, names, (tmp_path / "l.json", tmp_path / "u.json"))
    assert len(list(tmp_path.iterdir())) == 2
