"""BDD100K's jsons equal what was painted, in each of the official forms."""

import json

import cv2
import numpy as np
import pytest
from official_trees import write_bdd100k
from PIL import Image
from pycocotools import mask as coco_mask

from nbseg.datasets.converters.bdd100k import convert_bdd100k
from nbseg.datasets.converters.scalabel import rasterize

FORMS = ("bitmasks", "rles", "polygons")
CLASSES = ["pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]


def _by_image(prepared):
    content = json.loads(prepared.path.read_text())
    grouped = {image["id"]: (image, []) for image in content["images"]}
    for annotation in content["annotations"]:
        grouped[annotation["image_id"]][1].append(annotation)
    return list(grouped.values())


@pytest.mark.parametrize("form", FORMS)
def test_masks_of_each_form(tmp_path, form):
    made = write_bdd100k(tmp_path, masks=(form,))
    results = convert_bdd100k(tmp_path, tmp_path / "annotations")
    names = [r.path.name for r in results]
    assert names == ["ins_seg_train.json", "ins_seg_val.json", "det_train_unlabeled.json"]
    for prepared, split in zip(results[:2], ("train", "val"), strict=True):
        content = json.loads(prepared.path.read_text())
        assert [(c["id"], c["name"]) for c in content["categories"]] == list(enumerate(CLASSES, 1))
        by_image = _by_image(prepared)
        assert len(by_image) == sum(name.startswith(split) for name in made)
        for image, annotations in by_image:
            expected = made[f"{split}/{image['file_name'].removesuffix('.jpg')}"]
            assert (prepared.image_folder / image["file_name"]).is_file()
            assert len(annotations) == len(expected)
            for annotation, (category, crowd, mask) in zip(annotations, expected, strict=True):
                assert (annotation["category_id"], annotation["iscrowd"]) == (category, int(crowd))
                assert mask.shape == (image["height"], image["width"])
                decoded = coco_mask.decode(annotation["segmentation"])
                np.testing.assert_array_equal(decoded, mask)
                rows, columns = np.nonzero(mask)
                x, y = columns.min(), rows.min()
                box = [x, y, columns.max() + 1 - x, rows.max() + 1 - y]
                assert annotation["bbox"] == box
                assert annotation["area"] == mask.sum()
        crowds = sum(crowd for name in made if name.startswith(split) for _, crowd, _ in made[name])
        assert prepared.summary.crowds.total() == crowds > 0


def test_bitmasks_are_decoded_as_documented(tmp_path):
    """By the documentation: R category, G the attributes' bits, (B << 8) + A the instance."""
    write_bdd100k(tmp_path)
    prepared = convert_bdd100k(tmp_path, tmp_path / "annotations")[0]
    ids = set()
    for image, annotations in _by_image(prepared):
        path = tmp_path / "labels/ins_seg/bitmasks/train" / image["file_name"]
        red, green, blue, alpha = np.moveaxis(
            np.array(Image.open(path.with_suffix(".png"))).astype(int), 2, 0
        )
        instances = (blue << 8) + alpha
        ids |= set(np.unique(instances).tolist())
        numbers = [n for n in np.unique(instances).tolist() if n]
        assert len(numbers) == len(annotations)
        for number, annotation in zip(numbers, annotations, strict=True):
            mask = instances == number
            np.testing.assert_array_equal(coco_mask.decode(annotation["segmentation"]), mask)
            assert {annotation["category_id"]} == set(red[mask].tolist())
            assert annotation["iscrowd"] == int(bool(green[mask][0] & 0b11))
    assert max(ids) > 255, "some instance ids need both channels"


def test_images_with_boxes_only(tmp_path):
    write_bdd100k(tmp_path, only_boxes=4)
    prepared = convert_bdd100k(tmp_path, tmp_path / "annotations")[2]
    labels = json.loads((tmp_path / "labels/det_20/det_train.json").read_text())
    frames = {frame["name"]: frame["labels"] for frame in labels}
    in_10k = {path.name for path in (tmp_path / "images/10k").glob("*/*")}
    everything = {path.name for path in (tmp_path / "images/100k/train").iterdir()}
    assert everything & in_10k and any(not (everything - in_10k) & {n} for n in frames)

    by_image = _by_image(prepared)
    assert {image["file_name"] for image, _ in by_image} == everything - in_10k
    for image, annotations in by_image:
        wanted = [
            x for x in frames.get(image["file_name"]) or [] if x["category"] != "traffic sign"
        ]
        assert len(annotations) == len(wanted)
        for annotation, label in zip(annotations, wanted, strict=True):
            box = label["box2d"]
            x, y, w, h = annotation["bbox"]
            assert [x, y, x + w - 1, y + h - 1] == [box[key] for key in ("x1", "y1", "x2", "y2")]
            assert annotation["area"] == w * h
            assert "segmentation" not in annotation
            names = {"person": "pedestrian", "other vehicle": "car"}
            name = names.get(label["category"], label["category"])
            assert CLASSES[annotation["category_id"] - 1] == name
            ignored = label["category"] == "other vehicle"
            assert annotation["iscrowd"] == int(ignored or label["attributes"]["crowd"])
    notes = " ".join(prepared.notes)
    assert "2 are left out" in notes
    assert "1 images are not in det_train.json" in notes
    assert "traffic sign 3" in notes


def test_without_100k_the_masked_images_alone(tmp_path):
    write_bdd100k(tmp_path)
    (tmp_path / "images/100k").rename(tmp_path / "elsewhere")
    assert len(convert_bdd100k(tmp_path, tmp_path / "annotations")) == 2


def test_the_form_can_be_chosen_and_changing_it_needs_force(tmp_path):
    write_bdd100k(tmp_path, masks=FORMS)
    out = tmp_path / "annotations"
    convert_bdd100k(tmp_path, out)
    assert all(r.summary is None for r in convert_bdd100k(tmp_path, out, "bitmasks"))
    with pytest.raises(FileExistsError, match="--force"):
        convert_bdd100k(tmp_path, out, "rles")
    assert convert_bdd100k(tmp_path, out, "rles", force=True)[0].summary.images == 4


def test_curves_are_filled():
    """A closed cubic Bézier curve against its points, computed one by one."""
    p = np.array([[20.0, 100], [60, -40], [180, 10], [220, 110]])
    t = np.linspace(0, 1, 400)[:, None]
    curve = (
        (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2] + t**3 * p[3]
    )
    expected = np.zeros((120, 240), np.uint8)
    cv2.fillPoly(expected, [curve.round().astype(np.int32)], 1)
    outline = {"vertices": p.tolist(), "types": "LCCC", "closed": True}
    square = {"vertices": [[0, 0], [5, 0], [5, 5], [0, 5]], "types": "LLLL", "closed": True}
    ids = rasterize([[outline], [square]], 120, 240)
    assert set(np.unique(ids)) == {0, 1, 2}
    assert (ids == 2).sum() == 25
    union = ((ids == 1) | (expected > 0)).sum()
    assert ((ids == 1) & (expected > 0)).sum() / union > 0.97


def test_many_objects_keep_their_numbers():
    """More objects than one color channel has values."""
    boxes = [(x, y) for y in range(0, 60, 3) for x in range(0, 60, 3)]
    outlines = [
        [
            {
                "vertices": [[x, y], [x + 2, y], [x + 2, y + 2], [x, y + 2]],
                "types": "LLLL",
                "closed": True,
            }
        ]
        for x, y in boxes
    ]
    ids = rasterize(outlines, 60, 60)
    assert [ids[y, x] for x, y in boxes] == list(range(1, 401))


@pytest.mark.parametrize(
    ("absent", "named"),
    [
        ("images/10k/val", "images/10k/val"),
        ("labels/ins_seg/bitmasks/train", "labels/ins_seg/bitmasks/train"),
        ("labels/ins_seg", "labels/ins_seg/bitmasks/train"),
        ("labels/det_20/det_train.json", "labels/det_20/det_train.json"),
        (
            "labels/ins_seg/bitmasks/val/va000001-00000001.png",
            "labels/ins_seg/bitmasks/val/va000001-00000001.png",
        ),
    ],
)
def test_an_incomplete_tree_is_named_and_nothing_written(tmp_path, absent, named):
    write_bdd100k(tmp_path)
    (tmp_path / absent).rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=str(tmp_path / named)):
        convert_bdd100k(tmp_path, tmp_path / "annotations")
    assert not (tmp_path / "annotations").exists()


def test_other_content_is_refused(tmp_path):
    write_bdd100k(tmp_path, masks=("bitmasks", "rles"))
    out = tmp_path / "annotations"
    path = tmp_path / "labels/ins_seg/bitmasks/train/tr000000-00000000.png"
    cv2.imwrite(str(path), np.zeros((64, 128, 3), np.uint8))
    with pytest.raises(
        ValueError, match="tr000000.*expected an RGBA image of 128x64 pixels with the shape"
    ):
        convert_bdd100k(tmp_path, out)
    path = tmp_path / "labels/ins_seg/rles/ins_seg_train.json"
    frames = json.loads(path.read_text())
    frames[0]["labels"][0]["rle"]["size"] = [32, 64]
    path.write_text(json.dumps({"frames": frames}))
    with pytest.raises(ValueError, match="tr000000.*128x64 pixels, but one of its masks has 64x32"):
        convert_bdd100k(tmp_path, out, "rles")
    path.write_text('{"a": 1}')
    with pytest.raises(ValueError, match="not in Scalabel's format"):
        convert_bdd100k(tmp_path, out, "rles")
