"""Strong augmentation: arguments that albumentations takes, seeded draws, pixels in place."""

import warnings

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose

from nbseg.datasets import transforms
from nbseg.datasets.transforms import StrongColorAugmentation
from nbseg.registry import TRANSFORMS

IMAGENET_MEAN_BGR = (103.53, 116.28, 123.675)


def _image(seed=0, size=48):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (size, size))


def _operation(name):
    found = [o for o in StrongColorAugmentation().operations if type(o).__name__ == name]
    return found[0]


def _samples(operation, image, count=40):
    for seed in range(count):
        operation.set_random_seed(seed)
        yield operation(image=image)["image"]


def test_albumentations_takes_every_argument():
    """It only warns of an argument that it ignores."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operations = transforms._color_operations(7)
    expected = {
        "Sharpen": {"alpha": (0, 1), "lightness": (0.75, 1.5)},
        "GaussNoise": {"std_range": (0, 0.014)},
        "InvertImg": {},
        "MultiplicativeNoise": {"multiplier": (0.5, 1.5)},
        "RandomBrightnessContrast": {"brightness_limit": (0.1, 0.3), "contrast_limit": (0.1, 0.3)},
        "GaussianBlur": {"blur_limit": (3, 7), "sigma_limit": (0, 3)},
        "Blur": {"blur_limit": (3, 7)},
    }
    assert [type(o).__name__ for _, o in operations] == list(expected)
    for _, operation in operations:
        for name, value in expected[type(operation).__name__].items():
            assert getattr(operation, name) == value


def test_every_operation_keeps_shape_and_type_and_changes_the_image():
    image = _image()
    for operation in StrongColorAugmentation().operations:
        changed = False
        for output in _samples(operation, image):
            assert output.shape == image.shape
            assert output.dtype == np.uint8
            changed |= not np.array_equal(output, image)
        assert changed, operation


def test_the_blur_can_be_limited_or_left_out():
    kernels = StrongColorAugmentation(max_blur=3).operations[-2:]
    assert [o.blur_limit for o in kernels] == [(3, 3), (3, 3)]
    without = StrongColorAugmentation(max_blur=0)
    assert not any("Blur" in type(o).__name__ for o in without.operations)
    assert len(without.weights) == len(without.operations) == 5
    assert without.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("max_blur", [-1, 1, 2, 4])
def test_a_blur_kernel_that_cannot_be_is_refused(max_blur):
    with pytest.raises(ValueError, match=f"max_blur must be 0 or an odd .* found {max_blur}"):
        StrongColorAugmentation(max_blur=max_blur)


def test_gaussian_noise_has_the_released_strength():
    gray = np.full((64, 64, 3), 128, np.uint8)
    deviations = [(o - 128.0).std() for o in _samples(_operation("GaussNoise"), gray)]
    assert 2.5 < max(deviations) < np.sqrt(12.75) + 0.3


def test_multiplicative_noise_and_brightness_have_the_released_range():
    gray = np.full((8, 8, 3), 100, np.uint8)
    factors = [o.mean() / 100 for o in _samples(_operation("MultiplicativeNoise"), gray, 200)]
    assert 0.49 <= min(factors) < 0.55
    assert 1.45 < max(factors) <= 1.51
    brightened = [o.mean() for o in _samples(_operation("RandomBrightnessContrast"), gray, 200)]
    assert min(brightened) >= 1.1 * 100 + 0.1 * 255 - 1
    assert max(brightened) <= 1.3 * 100 + 0.3 * 255 + 1


def test_blurs_do_not_move_edges():
    """A blurred symmetric spot keeps its center, whatever the kernel's size."""
    spot = np.zeros((31, 31, 3), np.uint8)
    spot[13:18, 13:18] = 255
    for name in ("GaussianBlur", "Blur"):
        for output in _samples(_operation(name), spot):
            np.testing.assert_allclose(output, output[::-1, ::-1], atol=1)


def test_draws_follow_the_weights_and_the_probability(monkeypatch):
    augmentation = StrongColorAugmentation()
    names = [type(o).__name__ for o in augmentation.operations]
    counts = dict.fromkeys(names, 0)

    def record(name):
        def apply(image):
            counts[name] += 1
            return {"image": image}

        return apply

    class Recorder:
        def __init__(self, name):
            self.apply = record(name)

        def set_random_seed(self, seed):
            pass

        def __call__(self, image):
            return self.apply(image)

    augmentation.operations = [Recorder(n) for n in names]
    np.random.seed(0)
    draws = 8000
    for _ in range(draws):
        augmentation({"img": None})
    total = 5 + 0.05 + 0.5
    for name, count in counts.items():
        weight = {"InvertImg": 0.05, "MultiplicativeNoise": 0.5}.get(name, 1)
        expected = draws * 7 / 8 * weight / total
        assert abs(count - expected) < 4 * np.sqrt(expected)


def test_strength_is_independent_of_the_choice():
    """Chosen brightness factors cover their whole range, not the part tied to the choice."""
    augmentation = StrongColorAugmentation(prob=1)
    keep = [type(o).__name__ == "MultiplicativeNoise" for o in augmentation.operations]
    gray = np.full((4, 4, 3), 100, np.uint8)
    factors = []
    np.random.seed(1)
    for _ in range(1500):
        state = np.random.get_state()
        chosen = (np.random.random(), np.random.choice(7, p=augmentation.weights))[1]
        np.random.set_state(state)
        output = augmentation({"img": gray})["img"]
        if keep[chosen]:
            factors.append(output.mean() / 100)
    assert len(factors) > 80
    assert np.quantile(factors, 0.1) < 0.7
    assert np.quantile(factors, 0.9) > 1.3


def test_numpy_seed_repeats_a_run_and_another_does_not():
    def run(seed):
        np.random.seed(seed)
        augmentation = TRANSFORMS.build({"type": "StrongColorAugmentation"})
        return np.stack([augmentation({"img": _image(i)})["img"] for i in range(20)])

    np.testing.assert_array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))


def test_probability_zero_leaves_the_image_and_all_else_alone():
    image = _image()
    results = StrongColorAugmentation(prob=0)({"img": image.copy(), "gt_bboxes": "kept"})
    np.testing.assert_array_equal(results["img"], image)
    assert results["gt_bboxes"] == "kept"
    with pytest.raises(ValueError, match=r"prob .*found 1\.5"):
        StrongColorAugmentation(prob=1.5)


def test_pipeline_with_cutout_fills_holes_with_the_mean_color():
    pipeline = Compose(
        [
            {"type": "mmdet.StrongColorAugmentation", "prob": 0},
            {
                "type": "mmdet.CutOut",
                "n_holes": (1, 5),
                "cutout_shape": [(0, 0), (10, 5), (20, 10)],
                "fill_in": IMAGENET_MEAN_BGR,
            },
        ]
    )
    np.random.seed(0)
    white = np.full((48, 48, 3), 255, np.uint8)
    outputs = [pipeline({"img": white.copy()})["img"] for _ in range(20)]
    colors = {tuple(c) for o in outputs for c in o.reshape(-1, 3).tolist()}
    assert colors == {(255, 255, 255), (103, 116, 123)}
    holes = [(o[..., 0] == 103).sum() for o in outputs]
    assert min(holes) == 0
    assert 200 < max(holes) <= 5 * 200


def test_pipeline_of_mmdetection_keeps_boxes_and_masks(tmp_path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), _image(size=64))
    square = [10, 10, 30, 10, 30, 30, 10, 30]
    instance = {"bbox": [10, 10, 30, 30], "bbox_label": 0, "ignore_flag": 0, "mask": [square]}
    pipeline = Compose(
        [
            {"type": "LoadImageFromFile"},
            {"type": "mmdet.LoadAnnotations", "with_bbox": True, "with_mask": True},
            {"type": "mmdet.StrongColorAugmentation", "prob": 1},
            {"type": "mmdet.PackDetInputs"},
        ]
    )
    np.random.seed(2)
    item = pipeline(
        {"img_path": str(path), "height": 64, "width": 64, "instances": [instance], "img_id": 1}
    )
    assert item["inputs"].shape == (3, 64, 64)
    truth = item["data_samples"].gt_instances
    assert truth.bboxes.tensor.tolist() == [[10, 10, 30, 30]]
    assert truth.masks.to_ndarray().sum() == 20 * 20


def _albu(probability=0.5):
    """MMDetection's name in a config, with two operations that leave a trace."""
    operations = [{"type": name, "p": probability} for name in ("HorizontalFlip", "InvertImg")]
    return TRANSFORMS.build({"type": "Albu", "transforms": operations})


def test_albu_draws_from_the_seeded_generator():
    image = _image()
    runs = []
    for _ in range(2):
        albu = _albu()
        np.random.seed(5)
        runs.append([albu({"img": image.copy()})["img"] for _ in range(40)])
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second)
    # Each operation is applied or not on its own: all four combinations occur.
    assert len({one.tobytes() for one in runs[0]}) == 4
