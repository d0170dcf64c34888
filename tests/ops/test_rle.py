"""Compares paste_rle with MMDetection's paste and pycocotools' encoder, byte for byte."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from nbseg._native import torch_uses_fma
from nbseg.ops import paste_rle, reference

EMPTY = mask_utils.encode(np.zeros((100, 150), np.uint8, order="F"))


def random_masks(rng: np.random.Generator, count: int, side: int, threshold: float) -> np.ndarray:
    kind = rng.integers(5)
    if kind == 0:
        return rng.random((count, side, side), np.float32)
    if kind == 1:
        return rng.integers(0, 256, (count, side, side), np.uint8)
    if kind == 2:  # many interpolated values equal the threshold except for rounding
        return rng.choice(
            np.float32([0, threshold, 2 * threshold, 1]).clip(0, 1), (count, side, side)
        )
    if kind == 3:
        noise = rng.normal(0, 10.0 ** rng.integers(-8, -4), (count, side, side))
        return np.float32(threshold) + noise.astype(np.float32)
    y, x = np.mgrid[:side, :side] / side - 0.5
    slopes = rng.normal(0, 10, (3, count, 1, 1))
    return (1 / (1 + np.exp(slopes[0] * x + slopes[1] * y + slopes[2] / 5))).astype(np.float32)


def random_boxes(
    rng: np.random.Generator, count: int, height: int, width: int, largest: float
) -> np.ndarray:
    """Make boxes of 0.2 to `largest` pixels, inside, across and outside the image's border."""
    centers = rng.uniform(-0.3, 1.3, (count, 2)) * [width, height]
    halves = np.exp(rng.uniform(np.log(0.1), np.log(largest / 2), (count, 2)))
    boxes = np.concatenate([centers - halves, centers + halves], axis=1).astype(np.float32)
    if rng.random() < 0.4:
        boxes = np.round(2 * boxes) / 2  # samples fall on the grid, and some boxes have no area
    return boxes


def random_cases(seed: int, count: int) -> Iterator[tuple]:
    """Yield images of five instances each, `count` instances in total."""
    rng = np.random.default_rng(seed)
    for image in range(count // 5):
        height, width = rng.integers(1, 300, 2).tolist()
        largest = 500.0
        if image % 40 == 0:
            height, width, largest = 300, 4500, 4000.0
        threshold = rng.choice([0.3, 0.5, 0.7, rng.uniform(0.3, 0.7)])
        side = int(rng.choice([1, 2, 7, 14, 28, 28, 56]))
        probs = random_masks(rng, 5, side, threshold)
        boxes = random_boxes(rng, 5, height, width, largest)
        if largest > 500:
            boxes[0] = rng.uniform(-200, 0), 20.5, rng.uniform(3900, 4200), 270
        yield probs, boxes, height, width, threshold


def check_random_cases(seed: int, count: int) -> None:
    """Compare random cases; test_cpu_capability.py does so with narrower instruction sets."""
    for case in random_cases(seed, count):
        assert paste_rle(*case) == reference.paste_rle(*case), case


def test_equals_mmdetection_and_pycocotools() -> None:
    assert torch_uses_fma() == (torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"))
    check_random_cases(seed=0, count=1000)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_decodes_to_the_pasted_mask(dtype: type) -> None:
    # A box of as many pixels as the mask has cells samples each cell at its center.
    pattern = np.random.default_rng(0).integers(0, 2, (1, 16, 16))
    probs = (pattern * (255 if dtype is np.uint8 else 1)).astype(dtype)
    (rle,) = paste_rle(probs, np.float32([[30, 7, 46, 23]]), 100, 150, 0.5)
    expected = np.zeros((100, 150), np.uint8)
    expected[7:23, 30:46] = pattern[0]
    assert np.array_equal(mask_utils.decode(rle), expected)
    assert rle["size"] == [100, 150] and type(rle["counts"]) is bytes


def test_box_outside_gives_an_empty_mask() -> None:
    boxes = np.float32(
        [
            [-40, 10, -20, 30],
            [170, 10, 190, 30],
            [10, -40, 30, -20],
            [10, 120, 30, 140],
            [-3, 10, -2, 30],
            [152, 10, 160, 30],
            [1e12, 10, 1e13, 30],
            [-1e13, 10, -1e12, 30],
        ]
    )
    assert paste_rle(np.ones((8, 28, 28), np.float32), boxes, 100, 150) == [EMPTY] * 8


def test_degenerate_boxes_are_pasted_as_mmdetection_does() -> None:
    boxes = np.float32(
        [
            [5, 5, 5, 9],  # no width
            [5.5, 5, 5.5, 9],
            [5.5, 5.5, 5.5, 5.5],
            [7, 5, 6.2, 9],  # inverted by less than a pixel
            [-3e38, 1, 3.2e38, 8],  # wider than the float32 range
            [1, 2, 1 + 1e-6, 20],
        ]
    )
    probs = np.random.default_rng(0).random((6, 28, 28), np.float32)
    assert paste_rle(probs, boxes, 40, 40, 0.4) == reference.paste_rle(probs, boxes, 40, 40, 0.4)


@pytest.mark.parametrize("threshold", [-np.inf, -5, -1e-7, 0, 1e-7, 1, 2, np.inf])
def test_thresholds_that_all_or_no_probabilities_reach(threshold: float) -> None:
    probs = np.random.default_rng(0).random((2, 28, 28), np.float32)
    boxes = np.float32([[3.3, -2, 17.1, 55], [-4, 5.5, 60, 30]])
    expected = reference.paste_rle(probs, boxes, 40, 50, threshold)
    assert paste_rle(probs, boxes, 40, 50, threshold) == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (20, 1)])
def test_images_of_one_pixel_or_line(size: tuple[int, int]) -> None:
    probs = np.random.default_rng(0).random((4, 1, 1), np.float32)
    boxes = np.float32([[0, 0, 1, 1], [0, 0, 20, 20], [-5, -5, 5, 5], [0.2, 0.2, 0.4, 0.9]])
    assert paste_rle(probs, boxes, *size) == reference.paste_rle(probs, boxes, *size, 0.5)


def test_images_without_pixels() -> None:
    probs, boxes = np.ones((1, 2, 2), np.float32), np.float32([[0, 0, 4, 4]])
    for size in [(0, 0), (0, 5), (5, 0)]:
        assert paste_rle(probs, boxes, *size) == [
            mask_utils.encode(np.zeros(size, np.uint8, order="F"))
        ]


def test_no_instances() -> None:
    assert paste_rle(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), 9, 9) == []


def test_tensors_strided_input_and_threads_change_nothing() -> None:
    probs, boxes, height, width, threshold = next(random_cases(seed=3, count=5))
    expected = paste_rle(probs, boxes, height, width, threshold, num_threads=1)
    tensors = torch.from_numpy(probs), torch.from_numpy(boxes)
    assert paste_rle(*tensors, height, width, threshold, num_threads=4) == expected
    strided = np.asfortranarray(probs), np.repeat(boxes, 2, axis=1)[:, ::2]
    assert paste_rle(*strided, height, width, threshold) == expected


PROBS = np.full((2, 4, 4), 0.75, np.float32)
BOXES = np.float32([[0, 0, 4, 4], [1, 1, 5, 5]])


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"probs": PROBS.astype(np.float64)}, TypeError, "probs must be float32 or uint8.*float64"),
        ({"probs": PROBS > 0.5}, TypeError, "probs must be float32 or uint8.*bool"),
        ({"probs": PROBS[0]}, ValueError, r"probs must have shape \(N, S, S\), found \(4, 4\)"),
        ({"probs": PROBS[:, :3]}, ValueError, r"found \(2, 3, 4\)"),
        ({"probs": PROBS[:, :0, :0]}, ValueError, r"found \(2, 0, 0\)"),
        ({"boxes": BOXES.astype(np.float64)}, TypeError, "boxes must be float32, found float64"),
        ({"boxes": BOXES[:1]}, ValueError, r"N = 2 as in probs, found \(1, 4\)"),
        ({"boxes": BOXES[:, :3]}, ValueError, r"found \(2, 3\)"),
        ({"height": -1}, ValueError, "height and width.*found -1 and 9"),
        ({"height": 2**20, "width": 2**12}, ValueError, "fewer than 2"),
        ({"height": 9.5}, TypeError, "incompatible function arguments"),
        ({"threshold": float("nan")}, ValueError, "threshold.*NaN"),
        ({"num_threads": -1}, ValueError, "num_threads.*-1"),
    ],
)
def test_wrong_arguments_are_refused(changed: dict, error: type, message: str) -> None:
    arguments = {"probs": PROBS, "boxes": BOXES, "height": 9, "width": 9, "threshold": 0.5}
    with pytest.raises(error, match=message):
        paste_rle(**{**arguments, **changed})


@pytest.mark.parametrize(
    "box", [[np.nan, 0, 4, 4], [0, 0, 4, np.nan], [8, 1, 2, 5], [1, 8, 5, 2], [np.inf, 0, 4, 4]]
)
def test_boxes_without_meaning_are_refused_by_index(box: list[float]) -> None:
    with pytest.raises(ValueError, match=r"boxes\[1\]"):
        paste_rle(PROBS, np.float32([[0, 0, 4, 4], box]), 9, 9)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, 3])
def test_values_that_are_no_probabilities_are_refused_by_index(value: float) -> None:
    probs = PROBS.copy()
    probs[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"probs\[1\].*sigmoid"):
        paste_rle(probs, BOXES, 9, 9)
