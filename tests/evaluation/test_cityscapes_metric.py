"""Check the Cityscapes metric against cityscapesscripts' evaluation of files."""

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
from test_boundary import iou, published_boundary

from nbseg.evaluation.cityscapes_metric import CityscapesInstanceMetric

HEIGHT, WIDTH = 120, 160
CLASSES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
NAMES = [f"cityscapes/{name}" for name in ("AP", "AP_50", "boundary_AP", "boundary_AP_50")]
PREDICTED = (0, 2, 3, 7)


def disc(x, y, radius):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(columns - x, rows - y) <= radius


def draw(rng):
    """Make an image of ids with groups, void, stuff and tiny objects, and predictions."""
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
    """Evaluate the same predictions as PNG files with cityscapesscripts."""
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


def test_a_boundary_of_the_whole_mask_gives_mask_ap(scenes, ann_dir):
    """Groups, void and tiny instances do not count in boundary AP, either."""
    values = evaluate(
        samples_of(scenes, True), ann_dir, classwise=True, boundary_dilation_ratio=0.5
    )
    for name in ("AP", "AP_50", *(f"AP/{name}" for name in CLASSES)):
        expected = values[f"cityscapes/{name}"]
        assert values[f"cityscapes/boundary_{name}"] == pytest.approx(expected, abs=1e-9)
    narrow = evaluate(samples_of(scenes, True), ann_dir, metric="boundary")
    assert set(narrow) == {"cityscapes/boundary_AP", "cityscapes/boundary_AP_50"}
    assert 0 < narrow["cityscapes/boundary_AP"] < values["cityscapes/AP"] - 0.02


@pytest.mark.parametrize("ratio", [0.005, 0.02])
def test_boundary_ap_follows_from_the_boundary_iou(tmp_path, ratio):
    """With one instance and one prediction of a class, AP is the share of lower thresholds."""
    place = np.zeros((HEIGHT, WIDTH), bool)
    true, found = [], []
    for index in range(len(CLASSES)):
        left, top = 40 * (index % 4), 60 * (index // 4)
        mask = place.copy()
        mask[top : top + 50, left : left + 40 - index % 2] = True
        true.append(mask)
        mask = mask.copy()
        mask[top : top + index // 2, left : left + 30] = False
        mask[top + 20 : top + 25, left : left + index] = False
        found.append(mask)
    ids = np.full((HEIGHT, WIDTH), 7, np.uint16)
    for name, mask in zip(CLASSES, true, strict=True):
        ids[mask] = name2label[name].id * 1000
    (tmp_path / "ulm").mkdir()
    path = tmp_path / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    assert cv2.imwrite(str(path), ids)
    scene = (ids, np.stack(found), np.arange(len(CLASSES)), np.linspace(0.9, 0.2, len(CLASSES)))
    values = evaluate(
        samples_of([scene], True), tmp_path, classwise=True, boundary_dilation_ratio=ratio
    )
    expected = []
    for name, ours, theirs in zip(CLASSES, found, true, strict=True):
        boundary_iou = iou(published_boundary(ours, ratio), published_boundary(theirs, ratio))
        least = min(iou(ours, theirs), boundary_iou)
        expected.append((protocol.args.overlaps < least).mean())
        assert values[f"cityscapes/boundary_AP/{name}"] == pytest.approx(expected[-1], abs=1e-9)
    assert len(set(expected)) > 3
    assert values["cityscapes/boundary_AP"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_groups_and_tiny_instances_excuse_in_boundary_ap_as_in_mask_ap(tmp_path):
    """Parts of a group and a tiny instance's surroundings score above the perfect instance."""
    ids = np.full((HEIGHT, WIDTH), 7, np.uint16)
    ids[:60, :80] = 26  # cars that nobody told apart
    ids[80:89, 10:19] = 26001
    ids[70:110, 80:150] = 26002
    part, around = np.zeros((2, HEIGHT, WIDTH), bool)
    part[20:50, 20:60] = True
    around[79:90, 9:20] = True
    (tmp_path / "ulm").mkdir()
    path = tmp_path / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    assert cv2.imwrite(str(path), ids)
    masks = np.stack([part, around, ids == 26002])
    scene = (ids, masks, np.full(3, 2), np.array([0.9, 0.8, 0.7]))
    values = evaluate(samples_of([scene], True), tmp_path)
    assert values["cityscapes/AP_50"] == pytest.approx(1.0)
    assert 0.5 < values["cityscapes/AP"] < 1  # the tiny one excuses up to 81 / 121
    for name in ("AP", "AP_50"):
        expected = values[f"cityscapes/{name}"]
        assert values[f"cityscapes/boundary_{name}"] == pytest.approx(expected, abs=1e-9)


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
        assert found == pytest.approx(dict.fromkeys(NAMES, 1.0), abs=1e-9)
        found = evaluate(samples_of(nothing, as_rle), ann_dir)
        assert found == dict.fromkeys(NAMES, 0.0)


def test_truth_without_instances_is_minus_one(tmp_path):
    (tmp_path / "ulm").mkdir()
    path = tmp_path / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH), 7, np.uint16))
    masks, labels = disc(50, 50, 9)[None], np.array([2])
    sample = samples_of([(None, masks, labels, np.array([0.5]))], True)
    assert evaluate(sample, tmp_path) == dict.fromkeys(NAMES, -1)


def test_no_mask_is_unpacked_to_the_images_size(tmp_path):
    """NumPy's memory stays small for a Cityscapes image with 30 predictions and one instance."""
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
    with pytest.raises(FileNotFoundError, match=r"ann_dir must contain CITY/\*_gtFine"):
        CityscapesInstanceMetric(str(tmp_path / "absent"))
    (tmp_path / "ulm").mkdir()
    with pytest.raises(FileNotFoundError, match=f"found no such file in {tmp_path}"):
        CityscapesInstanceMetric(str(tmp_path))
    (tmp_path / "ulm/ulm_000000_000020_gtFine_instanceIds.png").touch()
    with pytest.raises(FileNotFoundError, match="ulm_000000_000019_gtFine_instanceIds.png"):
        evaluate(samples_of(scenes[:1], True), tmp_path)
    with pytest.raises(ValueError, match=r"must be segm, boundary or both, found \['bbox'\]"):
        CityscapesInstanceMetric(str(ann_dir), metric=["bbox", "segm"])
    (sample,) = samples_of(scenes[:1], False)
    sample["pred_instances"]["masks"] = sample["pred_instances"]["masks"][:, :-1]
    with pytest.raises(ValueError, match=r"masks have the shape .*; expected \(N, "):
        evaluate([sample], ann_dir)
    metric = CityscapesInstanceMetric(str(ann_dir))
    metric.dataset_meta = {"classes": ("person", "dog")}
    with pytest.raises(ValueError, match=r"must be one of person, .*found \['dog'\]"):
        metric.process({}, samples_of(scenes[:1], True))
