"""Images changed into other kinds of image: values against float64, shares, draws."""

import numpy as np
import pytest

from nbseg.datasets.bridge_kinds import BridgeKinds
from nbseg.registry import TRANSFORMS

STEPS = ("gray_prob", "invert_prob", "gamma_prob", "range_prob")
NEVER = dict.fromkeys(STEPS, 0)
# All values of a channel, in another order in each channel, as BGR.
COLORS = np.stack([np.roll(np.arange(256, dtype=np.uint8), s) for s in (0, 50, 130)], -1)[None]
GRAYS = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)


def bridged(image, seed=0, **arguments):
    np.random.seed(seed)
    changed = BridgeKinds(**arguments)({"img": image})["img"]
    assert changed.shape == image.shape and changed.dtype == np.uint8
    return changed


def draws(seed, decisions):
    """Numpy's generator after the draws that decide whether a step is applied."""
    generator = np.random.RandomState(seed)
    generator.random_sample(decisions)
    return generator


def assert_rounded(changed, exact):
    """Equal up to one rounding, and a bit for values that lie between two numbers."""
    assert np.abs(changed - exact).max() <= 0.5 + 1e-9


def test_an_inverted_image():
    np.testing.assert_array_equal(
        bridged(COLORS, prob=1, **{**NEVER, "invert_prob": 1}), 255 - COLORS
    )


def test_a_gray_image():
    changed = bridged(COLORS, prob=1, **{**NEVER, "gray_prob": 1})
    exact = COLORS.astype(float) @ [0.114, 0.587, 0.299]  # Rec. 601
    assert np.abs(changed - exact[..., None]).max() <= 0.51  # OpenCV computes in fixed point


@pytest.mark.parametrize("seed", range(4))
def test_a_power(seed):
    changed = bridged(COLORS, seed, prob=1, gamma=0.7, **{**NEVER, "gamma_prob": 1})
    exponent = np.exp(draws(seed, 2).uniform(-0.7, 0.7))
    assert_rounded(changed, 255 * (COLORS / 255) ** exponent)


@pytest.mark.parametrize("seed", range(4))
def test_a_range_for_each_channel(seed):
    changed = bridged(COLORS, seed, prob=1, **{**NEVER, "range_prob": 1})
    generator = draws(seed, 2)
    low = 255 * generator.uniform(0, 0.4, 3)
    high = 255 * generator.uniform(0.6, 1, 3)
    assert_rounded(changed, low + COLORS / 255 * (high - low))


@pytest.mark.parametrize("seed", range(4))
def test_all_steps_in_their_order_round_once(seed):
    changed = bridged(GRAYS, seed, prob=1, **dict.fromkeys(STEPS, 1))
    generator = draws(seed, 4)  # prob, gray, invert, gamma
    exponent = np.exp(generator.uniform(-0.5, 0.5))
    generator.random_sample()
    low, high = generator.uniform(0, 0.4, 3), generator.uniform(0.6, 1, 3)
    assert_rounded(changed, 255 * (low + (1 - GRAYS / 255) ** exponent * (high - low)))
    assert len(np.unique(changed[0, 0])) == 3  # a gray image becomes a colored one


def test_the_share_of_each_step():
    """The image is black, white and blue: black and white show all steps, blue becomes gray."""
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    np.random.seed(0)
    bridge, count = BridgeKinds(prob=0.6, invert_prob=0.4, gamma_prob=0), 2000
    outputs = np.stack([bridge({"img": image})["img"][0] for _ in range(count)]).astype(int)
    black, white, blue = outputs.swapaxes(0, 1)
    ends = np.sort(outputs[:, :2], axis=1)
    assert ends[:, 0].max() <= 0.4 * 255 and ends[:, 1].min() >= 0.6 * 255
    for found, expected in (
        (black.sum(axis=1) > white.sum(axis=1), 0.6 * 0.4),
        ((ends != [[0], [255]]).any(axis=(1, 2)), 0.6 * 0.7),
        (abs(blue[:, 0] - white[:, 0]) > abs(white - black)[:, 0] / 2, 0.6 * 0.3),
    ):
        assert abs(found.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_probability_zero_changes_and_draws_nothing():
    np.random.seed(0)
    before = np.random.get_state()
    results = {"img": COLORS, "gt_bboxes": "kept"}
    assert TRANSFORMS.build({"type": "BridgeKinds", "prob": 0})(results) is results
    assert results["img"] is COLORS and results["gt_bboxes"] == "kept"
    after = np.random.get_state()
    assert before[2] == after[2] and (before[1] == after[1]).all()


def test_a_flipped_view_is_read_and_not_written():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    copy = image.copy()
    for seed in range(4):  # with and without gray
        changed = bridged(image[::-1, ::-1], seed, prob=1)
        np.testing.assert_array_equal(changed, bridged(copy, seed, prob=1)[::-1, ::-1])
    np.testing.assert_array_equal(image, copy)


@pytest.mark.parametrize(
    "wrong", [{"prob": 1.5}, {"gray_prob": -0.1}, {"range_prob": float("nan")}, {"gamma": -1}]
)
def test_a_wrong_argument_is_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"BridgeKinds: {name} must be .* found {value}"):
        BridgeKinds(**wrong)


@pytest.mark.parametrize("image", [COLORS[..., 0], COLORS.astype(np.float32)])
def test_an_image_that_is_not_8_bit_is_refused(image):
    with pytest.raises(ValueError, match=r"\(H, W, C\) uint8, found .*to_float32"):
        BridgeKinds(prob=1)({"img": image})
