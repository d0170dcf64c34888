"""The Cityscapes protocol against cityscapesscripts' own evaluation of files."""

import copy
import math
import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from annotated_ellipses import encode

pytest.importorskip("cityscapesscripts", reason='needs the extra "cityscapes"')
# MMDetection's module gives numpy 2 the function that cityscapesscripts wants of it.
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as protocol
from cityscapesscripts.helpers.labels import name2label
from mmdet.evaluation.functional import evaluateImgLists

from nbseg.evaluation.cityscapes_metric import CityscapesInstanceMetric

HEIGHT, WIDTH = 120, 160
CLASSES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
PREDICTED = (0, 2, 3, 7)


def disc(x, y, radius):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(columns - x, rows - y) <= radius


def draw(rng):
    """An image of instance ids with groups, void, stuff and tiny objects; its predictions."""
    ids = np.full((HEIGHT, WIDTH), name2label["road"].id, np.uint16)
    ids[:20] = name2label["out of roi"].id
    ids[100:, :60] = name2label["sky"].id
    ids[100:, 60:90] = name2label["caravan"].id * 1000  # void counts by label
    masks, labels = [], []
    for number in range(13):
        label = int(rng.choice(PREDICTED))
        value = name2label[CLASSES[label]].id
        x, y, radius = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.choice([4, 8, 14])
        ids[disc(x, y, radius)] = value if number % 6 == 0 else value * 1000 + number
        for _ in range(rng.integers(3)):
            dx, dy, wider = rng.normal(0, 0.8, 3)
            masks.append(disc(x + dx, y + dy, radius + wider))
            labels.append(label if rng.random() < 0.8 else int(rng.choice(PREDICTED)))
    for _ in range(6):  # false alarms, some on void and some empty
        masks.append(disc(rng.uniform(0, WIDTH), rng.uniform(-30, HEIGHT), 10))
        labels.append(int(rng.choice(PREDICTED)))
    return ids, np.stack(masks), np.array(labels), rng.permutation(len(masks)) / 100 + 0.01


@pytest.fixture(scope="module")
def scenes():
    return [draw(np.random.default_rng(seed)) for seed in range(6)]


@pytest.fixture(scope="module")
def ann_dir(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gtFine")
    (folder / "ulm").mkdir()
    for number, (ids, *_) in enumerate(scenes):
        path = folder / "ulm" / f"ulm_{number:06}_000019_gtFine_instanceIds.png"
        assert cv2.imwrite(str(path), ids)
    return folder


def samples_of(scenes, as_rle):
    return [
        {
            "img_path": f"somewhere/leftImg8bit/val/ulm/ulm_{number:06}_000019_leftImg8bit.png",
            "pred_instances": {
                "masks": [encode(mask) for mask in masks] if as_rle else torch.from_numpy(masks),
                "labels": torch.from_numpy(labels),
                "scores": torch.from_numpy(scores),
            },
        }
        for number, (_, masks, labels, scores) in enumerate(scenes)
    ]


def evaluate(samples, ann_dir, **options):
    metric = CityscapesInstanceMetric(str(ann_dir), **options)
    metric.dataset_meta = {"classes": CLASSES}
    for sample in samples:  # one by one, as a loop with batches of 1 does
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def evaluate_files(scenes, ann_dir, folder):
    """What cityscapesscripts says of the same predictions as PNG files."""
    predictions = []
    for number, (_, masks, labels, scores) in enumerate(scenes):
        lines = []
        for i, (mask, label, score) in enumerate(zip(masks, labels, scores, strict=True)):
            assert cv2.imwrite(str(folder / f"{number}_{i}.png"), mask.astype(np.uint8) * 255)
            lines.append(f"{number}_{i}.png {name2label[CLASSES[label]].id} {score}\n")
        predictions.append(str(folder / f"{number}.txt"))
        (folder / f"{number}.txt").write_text("".join(lines))
    arguments = copy.copy(protocol.args)
    arguments.JSONOutput, arguments.quiet = False, True
    arguments.gtInstancesFile = str(folder / "instances.json")
    truth = sorted(str(path) for path in ann_dir.rglob("*.png"))
    return evaluateImgLists(predictions, truth, arguments)["averages"]


@pytest.mark.parametrize("as_rle", [True, False])
def test_equals_cityscapesscripts(scenes, ann_dir, tmp_path, as_rle):
    values = evaluate(samples_of(scenes, as_rle), ann_dir, classwise=True)
    expected = evaluate_files(scenes, ann_dir, tmp_path)
    assert 0.1 < expected["allAp"] < 0.9
    assert values["cityscapes/AP"] == pytest.approx(expected["allAp"], abs=1e-9)
    assert values["cityscapes/AP_50"] == pytest.approx(expected["allAp50%"], abs=1e-9)
    for name in CLASSES:
        own = expected["classes"][name]["ap"]
        own = -1 if math.isnan(own) else own
        assert values[f"cityscapes/AP/{name}"] == pytest.approx(own, abs=1e-9), name
    assert values["cityscapes/AP/train"] == -1
    assert len({values[f"cityscapes/AP/{CLASSES[label]}"] for label in PREDICTED}) == 4


def test_perfect_and_no_predictions(scenes, ann_dir):
    perfect, nothing = [], []
    for ids, *_ in scenes:
        ids_of = [i for i in np.unique(ids) if i >= 1000 and i // 1000 != name2label["caravan"].id]
        masks = np.stack([ids == i for i in ids_of])
        names = {name2label[name].id: label for label, name in enumerate(CLASSES)}
        labels = np.array([names[int(i) // 1000] for i in ids_of])
        perfect.append((ids, masks, labels, np.linspace(0.9, 0.1, len(masks))))
        nothing.append((ids, masks[:0], labels[:0], np.zeros(0)))
    for as_rle in (True, False):
        found = evaluate(samples_of(perfect, as_rle), ann_dir)
        assert found == pytest.approx({"cityscapes/AP": 1.0, "cityscapes/AP_50": 1.0})
        found = evaluate(samples_of(nothing, as_rle), ann_dir)
        assert found == {"cityscapes/AP": 0.0, "cityscapes/AP_50": 0.0}


def test_truth_without_instances_is_minus_one(tmp_path):
    (tmp_path / "ulm").mkdir()
    path = tmp_path / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH), 7, np.uint16))
    masks, labels = disc(50, 50, 9)[None], np.array([2])
    sample = samples_of([(None, masks, labels, np.array([0.5]))], True)
    assert evaluate(sample, tmp_path) == {"cityscapes/AP": -1, "cityscapes/AP_50": -1}


def test_no_mask_is_unpacked_to_the_images_size(tmp_path):
    """numpy's memory, in an image of Cityscapes' size with 30 predictions and one instance."""
    (tmp_path / "ulm").mkdir()
    ids = np.full((1024, 2048), 7, np.uint16)
    ids[300:400, 500:600] = 26001
    path = tmp_path / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    assert cv2.imwrite(str(path), ids)
    rle = encode(ids == 26001)
    sample = {
        "img_path": "ulm/ulm_000000_000019_leftImg8bit.png",
        "pred_instances": {
            "masks": [rle] * 30,
            "labels": torch.full((30,), 2),
            "scores": torch.linspace(0.9, 0.1, 30),
        },
    }
    metric = CityscapesInstanceMetric(str(tmp_path))
    metric.dataset_meta = {"classes": CLASSES}
    tracemalloc.start()
    metric.process({}, [sample])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The ids of one image, and counting them; of 30 masks nothing but their boxes.
    assert peak < 30 * ids.size / 2
    assert held < ids.size / 10
    assert 0 < metric.evaluate(1)["cityscapes/AP"] <= 1


def test_wrong_use_is_named(scenes, ann_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match="ann_dir must be the folder of the cities"):
        CityscapesInstanceMetric(str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match="ulm_000000_000019_gtFine_instanceIds.png"):
        evaluate(samples_of(scenes[:1], True), tmp_path)
    metric = CityscapesInstanceMetric(str(ann_dir))
    metric.dataset_meta = {"classes": ("person", "dog")}
    with pytest.raises(ValueError, match=r"must be of person, .*found \['dog'\]"):
        metric.process({}, samples_of(scenes[:1], True))
