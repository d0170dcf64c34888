"""From a handmade store to a COCO json."""

import json

import numpy as np
import pytest
from handmade_predictions import CLASSES, HEIGHT, WIDTH, images, kept
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from nbseg.ops import reference
from nbseg.pseudo.labels import make_pseudo_labels
from nbseg.pseudo.predictions import PredictionStore, PredictionWriter
from nbseg.pseudo.selection import Candidates


@pytest.fixture
def store(tmp_path):
    writer = PredictionWriter(tmp_path / "predictions", CLASSES, images_per_part=3)
    for image in images():
        writer.append([image])
    writer.flush()
    return PredictionStore(tmp_path / "predictions")


@pytest.fixture
def labeled(tmp_path):
    """Two images with one cat and one dog (0.5 of each an image) that fill half of their boxes."""
    half = np.zeros((HEIGHT, WIDTH), np.uint8)
    half[10:20, 10:30] = np.tile([1, 0], 10)
    rle = coco_mask.encode(np.asfortranarray(half))
    rle["counts"] = rle["counts"].decode()
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 2)
        ],
        "annotations": [
            {
                "id": i,
                "image_id": 1,
                "category_id": category,
                "bbox": [10, 10, 20, 10],
                "area": 100,
                "iscrowd": 0,
                "segmentation": rle,
            }
            for i, category in enumerate((30, 10), start=1)
        ],
        # Neither sorted nor contiguous, and one more than the classes.
        "categories": [
            {"id": 30, "name": "cat"},
            {"id": 5, "name": "unused"},
            {"id": 10, "name": "dog"},
            {"id": 20, "name": "cow"},
        ],
    }
    path = tmp_path / "labeled.json"
    path.write_text(json.dumps(content))
    return path


def test_pseudo_labels_match_the_labeled_set(store, labeled, tmp_path, log):
    out = tmp_path / "new" / "pseudo_labels.json"
    info = make_pseudo_labels(store, labeled, CLASSES, out)
    # Two cats and two dogs (a tie) for four images; cows are not labeled, so none is kept.
    assert kept(out) == [(11, 10, 0.6), (11, 30, 0.8), (11, 30, 0.9), (12, 10, 0.6)]
    assert [r.message for r in log.records if "cow" in r.message] == [
        "class 'cow' has no labeled instance, so none of its predictions is kept; label an image "
        "that shows the class"
    ]
    content = json.loads(out.read_text())
    assert content["info"] == info
    classes = info["classes"]
    assert [classes[name]["box_threshold"] for name in CLASSES] == [
        float(np.float32(0.8)),
        float(np.float32(0.6)),
        None,
    ]
    assert [classes[name]["labeled_per_image"] for name in CLASSES] == [0.5, 0.5, 0]
    assert [classes[name]["pseudo_per_image"] for name in CLASSES] == [0.5, 0.5, 0]
    assert info["labeled_foreground_fraction"] == 0.5
    assert list(out.parent.iterdir()) == [out]

    # Candidates of 0.1 or more: cats 0.9, 0.8, 0.2, 0.7; dogs 0.6, 0.6, 0.3; a cow, 0.99.
    histograms = [np.flatnonzero(classes[name]["score_histogram"]).tolist() for name in CLASSES]
    assert histograms == [[20, 70, 80, 90], [30, 60], [99]]
    assert classes["dog"]["score_histogram"][60] == 2

    # The pixel threshold by brute force over what is kept.
    predictions = images()
    some = [(predictions[0], [0, 1, 3]), (predictions[1], [2])]
    boxes = np.concatenate([p.boxes[i] for p, i in some]).astype(np.float64)
    soft = np.concatenate([p.soft_masks[i] for p, i in some])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    foreground = [
        ((soft >= level).mean(axis=(1, 2)) * areas).sum() / areas.sum() for level in range(256)
    ]
    assert info["foreground_at_threshold"] == pytest.approx(foreground, abs=1e-12)
    nearest = min(range(1, 256), key=lambda level: abs(foreground[level] - 0.5))
    assert info["pixel_threshold"] == nearest / 255


def test_the_json_does_not_depend_on_who_predicted_an_image_and_when(store, labeled, tmp_path):
    out = tmp_path / "pseudo_labels.json"
    make_pseudo_labels(store, labeled, CLASSES, out)
    writers = [
        PredictionWriter(tmp_path / "other", CLASSES, images_per_part=1, rank=r) for r in (0, 1)
    ]
    for rank, image in zip((1, 0, 0, 1, 1), [*images()[::-1], images()[0]], strict=True):
        writers[rank].append([image])
    other = tmp_path / "other.json"
    make_pseudo_labels(PredictionStore(tmp_path / "other"), labeled, CLASSES, other)
    assert other.read_bytes() == out.read_bytes()


def test_the_json_is_valid_coco(store, labeled, tmp_path):
    out = tmp_path / "pseudo_labels.json"
    info = make_pseudo_labels(store, labeled, CLASSES, out)
    coco = COCO(str(out))
    assert sorted(coco.imgs) == [11, 12, 13, 14]
    assert coco.imgs[13] == {"id": 13, "file_name": "b/1.png", "height": HEIGHT, "width": WIDTH}
    # As MMDetection maps them: in the order of the json, which the labeled one gives.
    assert [coco.cats[c]["name"] for c in coco.getCatIds()] == CLASSES
    assert coco.getCatIds() == [30, 10, 20]
    by_score = {}
    for image in images():
        for i, score in enumerate(image.scores):
            by_score[image.image_id, float(score)] = image, i
    assert len(set(coco.anns)) == len(coco.dataset["annotations"]) == 4
    for annotation in coco.anns.values():
        image, i = by_score[annotation["image_id"], annotation["score"]]
        x1, y1, x2, y2 = image.boxes[i].tolist()
        assert annotation["bbox"] == [x1, y1, x2 - x1, y2 - y1]
        assert annotation["iscrowd"] == 0
        (rle,) = reference.paste_rle(
            image.soft_masks[i : i + 1],
            image.boxes[i : i + 1],
            HEIGHT,
            WIDTH,
            info["pixel_threshold"],
        )
        assert annotation["segmentation"]["counts"] == rle["counts"].decode()
        assert annotation["area"] == coco.annToMask(annotation).sum() > 0


def test_fixed_thresholds(store, labeled, tmp_path):
    out = tmp_path / "out.json"
    info = make_pseudo_labels(store, labeled, CLASSES, out, box_threshold=0.65, pixel_threshold=0.4)
    assert kept(out) == [(11, 20, 0.99), (11, 30, 0.8), (11, 30, 0.9), (12, 30, 0.7)]
    assert info["pixel_threshold"] == 0.4
    larger = json.loads(out.read_text())["annotations"][0]["area"]

    per_class = {"cat": 0.85, "dog": 0.3, "cow": 1.1}
    make_pseudo_labels(store, labeled, CLASSES, out, per_class, pixel_threshold=0.7)
    # 0.3 as float32 is more than 0.3.
    assert kept(out) == [(11, 10, 0.6), (11, 30, 0.9), (12, 10, 0.6), (13, 10, 0.3)]
    assert json.loads(out.read_text())["annotations"][0]["area"] < larger


def test_one_threshold_for_all_classes(store, labeled, tmp_path):
    """Data Distillation: one object per labeled image, so the four best of four images are kept."""
    out = tmp_path / "out.json"
    info = make_pseudo_labels(store, labeled, CLASSES, out, "match_total")
    # Scores .99 (cow), .9, .8 and .7 (cats): the number of each class is not matched.
    assert kept(out) == [(11, 20, 0.99), (11, 30, 0.8), (11, 30, 0.9), (12, 30, 0.7)]
    assert {info["classes"][name]["box_threshold"] for name in CLASSES} == {float(np.float32(0.7))}


def test_an_image_without_a_high_score_keeps_its_best(store, labeled, tmp_path):
    """STAC: the threshold of an image is at most the best score in the image."""
    out = tmp_path / "out.json"
    make_pseudo_labels(store, labeled, CLASSES, out, 0.85, 0.5, keep_best=True)
    # Of image 14, there is no prediction.
    assert kept(out) == [(11, 20, 0.99), (11, 30, 0.9), (12, 30, 0.7), (13, 10, 0.3)]
    make_pseudo_labels(store, labeled, CLASSES, out, 0.85, 0.5)
    assert kept(out) == [(11, 20, 0.99), (11, 30, 0.9)]
    make_pseudo_labels(store, labeled, CLASSES, out, 1.0, 0.5, keep_best=True)  # above all scores
    assert kept(out) == [(11, 20, 0.99), (12, 30, 0.7), (13, 10, 0.3)]


def test_the_best_of_an_image_is_of_a_labeled_class():
    """Matched thresholds of classes without labels are infinite: no prediction reaches them."""
    scores, labels = np.array([0.5, 0.9, 0.4], np.float32), np.array([0, 2, 0])
    candidates = Candidates({}, np.array([4, 5, 6]), scores, labels, 9, 0.9)
    assert candidates.above(np.array([0.7, 0.7, np.inf]), keep_best=True).tolist() == [4]
    assert candidates.above(np.array([np.inf, 0.7, np.inf]), keep_best=True).tolist() == []


def test_an_object_gets_one_label(store, labeled, tmp_path):
    first = images()[0]
    # Image 11 shows its best cat as a dog too, better than all other dogs.
    as_dog = first._replace(
        image_id=15,
        file_name="b/15.png",
        boxes=first.boxes[[0, 0, 3]],
        scores=np.array([0.95, 0.92, 0.7], np.float32),
        labels=np.array([0, 1, 1]),
        soft_masks=first.soft_masks[[0, 0, 3]],
    )
    writer = PredictionWriter(store.folder, CLASSES)
    writer.append([as_dog])
    writer.flush()
    out = tmp_path / "out.json"
    # Three of each class for five images: rounded up.
    make_pseudo_labels(store, labeled, CLASSES, out, mask_nms_iou=None)
    both = [(15, 10, 0.7), (15, 10, 0.92), (15, 30, 0.95)]
    assert [row for row in kept(out) if row[0] == 15] == both
    assert [row for row in kept(out) if row[1] == 10][:1] == [(11, 10, 0.6)]
    info = make_pseudo_labels(store, labeled, CLASSES, out)
    assert kept(out) == [
        *[(11, 10, 0.6), (11, 30, 0.8), (11, 30, 0.9)],
        *[(12, 10, 0.6), (15, 10, 0.7), (15, 30, 0.95)],
    ]
    assert info["classes"]["dog"]["pseudo_per_image"] == 3 / 5


def test_the_floor(store, labeled, tmp_path):
    out = tmp_path / "out.json"
    make_pseudo_labels(store, labeled, CLASSES, out, floor=0.85)
    assert kept(out) == [(11, 30, 0.9)]


def test_a_distribution_that_differs_is_pointed_out(store, labeled, tmp_path, log):
    make_pseudo_labels(store, labeled, CLASSES, tmp_path / "out.json")
    assert not any("differ" in record.message for record in log.records)
    make_pseudo_labels(store, labeled, CLASSES, tmp_path / "out.json", floor=0.85)
    assert any(
        "0.25 pseudo-labels per unlabeled image but 1.00 instances" in record.message
        for record in log.records
    )


def test_masks_without_a_pixel_are_left_out(store, labeled, tmp_path):
    out = tmp_path / "out.json"
    writer = PredictionWriter(store.folder, CLASSES)
    first = images()[0]
    writer.append(
        [first._replace(image_id=15, file_name="b/15.png", soft_masks=first.soft_masks // 3)]
    )
    writer.flush()
    make_pseudo_labels(store, labeled, CLASSES, out, box_threshold=0.85, pixel_threshold=0.5)
    assert kept(out) == [(11, 20, 0.99), (11, 30, 0.9)]
    assert [image["id"] for image in json.loads(out.read_text())["images"]] == [11, 12, 13, 14, 15]


def test_an_image_of_hundreds_of_pseudo_labels(labeled, tmp_path):
    first = images()[0].select(np.zeros(300, int))
    boxes = np.array([0, 0, 4, 4], np.float32) + np.arange(300, dtype=np.float32)[:, None] % 30
    writer = PredictionWriter(tmp_path / "crowded", CLASSES)
    writer.append([first._replace(boxes=boxes)])
    writer.flush()
    out = tmp_path / "out.json"
    store = PredictionStore(tmp_path / "crowded")
    make_pseudo_labels(store, labeled, CLASSES, out, box_threshold=0.5, mask_nms_iou=None)
    coco = COCO(str(out))
    assert [a["area"] == coco.annToMask(a).sum() for a in coco.anns.values()] == 300 * [True]


def test_classes_that_were_not_predicted_are_refused(store, labeled, tmp_path):
    with pytest.raises(ValueError, match="has predictions of .*, but the classes are"):
        make_pseudo_labels(store, labeled, CLASSES[:2], tmp_path / "out.json")


def test_no_pseudo_label_remains(store, labeled, tmp_path):
    out = tmp_path / "out.json"
    with pytest.raises(
        ValueError, match="no pseudo-label remains of 9 predictions on 4 images.*0.99"
    ):
        make_pseudo_labels(store, labeled, CLASSES, out, box_threshold=0.995)
    with pytest.raises(ValueError, match="masks of all 4 pseudo-labels are empty.*pixel_threshold"):
        make_pseudo_labels(store, labeled, CLASSES, out, pixel_threshold=1.5)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="no pseudo-label remains of 0 predictions on 0 images"):
        make_pseudo_labels(PredictionStore(empty), labeled, CLASSES, out)
    writer = PredictionWriter(tmp_path / "diverged", CLASSES)
    writer.append([image.select(image.scores > 2) for image in store])
    writer.flush()
    with pytest.raises(ValueError, match="of 0 predictions on 4 images.*diverged.*learning rate"):
        make_pseudo_labels(PredictionStore(tmp_path / "diverged"), labeled, CLASSES, out)
    assert not out.exists()


@pytest.mark.parametrize("classes", [["dog", "cat", "cow"], ["cat", "dog", "cow", "horse"]])
def test_other_classes_than_the_jsons_are_refused(store, labeled, tmp_path, classes):
    with pytest.raises(
        ValueError, match="metainfo.classes is .* only has .*unused|has predictions of"
    ):
        make_pseudo_labels(store, labeled, classes, tmp_path / "out.json")


def test_a_fixed_threshold_needs_no_labeled_box(store, labeled, tmp_path, log):
    content = json.loads(labeled.read_text())
    content["annotations"] = []
    labeled.write_text(json.dumps(content))
    out = tmp_path / "out.json"
    info = make_pseudo_labels(store, labeled, CLASSES, out, 0.65, pixel_threshold=0.4)
    assert kept(out) == [(11, 20, 0.99), (11, 30, 0.8), (11, 30, 0.9), (12, 30, 0.7)]
    assert info["labeled_foreground_fraction"] is None
    assert not any("none of its predictions" in record.message for record in log.records)


def test_a_class_without_a_threshold_is_named(store, labeled, tmp_path):
    with pytest.raises(ValueError, match=r"no score for \['cow', 'dog'\]"):
        make_pseudo_labels(store, labeled, CLASSES, tmp_path / "out.json", {"cat": 0.5})
