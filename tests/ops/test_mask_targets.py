import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks, mask_target
from mmengine.config import ConfigDict
from pycocotools import mask as mask_utils

from nbseg.ops import multires_mask_targets, reference
from nbseg.structures import CroppedMasks

HEIGHT, WIDTH = 120, 170
SIZES = (28, 14)


def random_polygons(count: int, height: int, width: int, seed: int = 0) -> list:
    """Make one or two star-shaped polygons per instance, some reaching past the image."""
    rng = np.random.default_rng(seed)
    instances = []
    for _ in range(count):
        parts = []
        for _ in range(rng.integers(1, 3)):
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 20)))
            radii = rng.uniform(0.05, 0.5) * min(height, width) * rng.uniform(0.4, 1, angles.size)
            x = rng.uniform(0, width) + radii * np.cos(angles)
            y = rng.uniform(0, height) + radii * np.sin(angles)
            parts.append(np.stack([x, y], axis=1).ravel())
        instances.append(parts)
    return instances


def rasterize(instances: list, height: int, width: int) -> np.ndarray:
    rles = [
        mask_utils.merge(mask_utils.frPyObjects([part.tolist() for part in parts], height, width))
        for parts in instances
    ]
    return np.stack([mask_utils.decode(rle) for rle in rles])


def random_boxes(count: int, bitmaps: np.ndarray, seed: int = 0):
    """Make boxes near their instance, anywhere, partly or wholly outside, of 1 px or no area."""
    rng = np.random.default_rng(seed)
    instances, height, width = bitmaps.shape
    gt_inds = rng.integers(instances, size=count)
    boxes = np.empty((count, 4), np.float32)
    for r, g in enumerate(gt_inds):
        ys, xs = np.nonzero(bitmaps[g])
        kind = r % 8
        if kind < 4:
            boxes[r] = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            boxes[r] += rng.normal(0, 3 * kind, 4)
        elif kind == 4:
            boxes[r] = rng.uniform(-0.3, 1.3, 4) * [width, height, width, height]
        elif kind == 5:
            i = rng.integers(xs.size)
            boxes[r] = np.array([xs[i], ys[i], xs[i] + 1, ys[i] + 1]) + rng.uniform(-1, 1)
        elif kind == 6:
            x, y = rng.uniform(0, [width, height])
            boxes[r] = [x, y, x + rng.choice([0, 0.3, 40]), y + rng.choice([0, 0.01, 30])]
        else:
            boxes[r] = rng.integers(0, [width, height, width, height], 4)  # on the pixel grid
    corners = np.sort(boxes.reshape(count, 2, 2), axis=1)  # x0 <= x1 and y0 <= y1
    boxes = corners.reshape(count, 4)
    return torch.from_numpy(boxes), torch.from_numpy(gt_inds)


def mmdet_soft_targets(bitmaps, boxes, gt_inds, size):
    """Return MMDetection's values before the threshold, 50 boxes at a time to save memory."""
    masks = BitmapMasks(bitmaps, *bitmaps.shape[1:])
    config = ConfigDict(mask_size=size, soft_mask_target=True)
    return torch.cat(
        [
            mask_target([some.clone()], [inds], [masks], config)
            for some, inds in zip(boxes.split(50), gt_inds.split(50), strict=True)
        ]
    )


def assert_same_targets(targets, bitmaps, boxes, gt_inds, sizes=SIZES):
    for size, actual in zip(sizes, targets, strict=True):
        assert actual.dtype == torch.uint8 and actual.shape == (len(boxes), size, size)
        soft = mmdet_soft_targets(bitmaps, boxes, gt_inds, size)
        decided = (soft - 0.5).abs() > 1e-5
        assert decided.float().mean() > 0.95
        assert torch.equal(actual[decided], (soft >= 0.5).to(torch.uint8)[decided])


@pytest.mark.parametrize("source", ["polygons", "rle"])
def test_equals_mmdetection_on_1000_boxes(source):
    polygons = random_polygons(12, HEIGHT, WIDTH)
    bitmaps = rasterize(polygons, HEIGHT, WIDTH)
    if source == "polygons":
        masks = CroppedMasks.from_segmentations(polygons, HEIGHT, WIDTH)
    else:
        encoded = mask_utils.encode(np.asfortranarray(bitmaps.transpose(1, 2, 0)))
        masks = CroppedMasks.from_segmentations(encoded, HEIGHT, WIDTH)
    boxes, gt_inds = random_boxes(1000, bitmaps)
    targets = multires_mask_targets(masks, boxes, gt_inds)
    assert targets[0].float().mean() > 0.1
    assert_same_targets(targets, bitmaps, boxes, gt_inds)


def test_equals_mmdetection_on_a_large_image():
    # Far from the origin a coordinate's rounding is a ten-thousandth of a pixel.
    bitmaps = rasterize(random_polygons(4, 1024, 2048, seed=1), 1024, 2048)
    boxes, gt_inds = random_boxes(32, bitmaps, seed=1)
    targets = multires_mask_targets(CroppedMasks.from_bitmaps(bitmaps), boxes, gt_inds)
    assert_same_targets(targets, bitmaps, boxes, gt_inds)


def test_equals_mmdetection_on_noise_and_other_sizes():
    bitmaps = (np.random.default_rng(2).random((3, 40, 50)) < 0.5).astype(np.uint8)
    boxes, gt_inds = random_boxes(60, bitmaps, seed=2)
    sizes = (1, 7, 56)
    targets = multires_mask_targets(CroppedMasks.from_bitmaps(bitmaps), boxes, gt_inds, sizes)
    assert_same_targets(targets, bitmaps, boxes, gt_inds, sizes)


def test_equals_the_reference():
    bitmaps = rasterize(random_polygons(5, HEIGHT, WIDTH, seed=3), HEIGHT, WIDTH)
    masks = CroppedMasks.from_bitmaps(bitmaps)
    boxes, gt_inds = random_boxes(24, bitmaps, seed=3)
    actual = multires_mask_targets(masks, boxes, gt_inds)
    for target, expected in zip(
        actual, reference.multires_mask_targets(masks, boxes, gt_inds), strict=True
    ):
        assert (target != expected).float().mean() < 1e-3  # values within rounding of 0.5


def test_mmdetection_polygon_masks_are_rasterized():
    polygons = random_polygons(5, HEIGHT, WIDTH, seed=4)
    masks = CroppedMasks.from_instance_masks(PolygonMasks(polygons, HEIGHT, WIDTH))
    bitmaps = rasterize(polygons, HEIGHT, WIDTH)
    boxes, gt_inds = random_boxes(40, bitmaps, seed=4)
    assert_same_targets(multires_mask_targets(masks, boxes, gt_inds), bitmaps, boxes, gt_inds)


def test_hand_computed():
    bitmap = np.zeros((1, 4, 4), np.uint8)
    bitmap[0, 1:3, 2:4] = 1
    masks = CroppedMasks.from_bitmaps(bitmap)
    (targets,) = multires_mask_targets(
        masks, torch.tensor([[0.0, 0, 4, 4], [2, 1, 4, 3]]), torch.tensor([0, 0]), sizes=(2,)
    )
    assert targets.tolist() == [[[0, 1], [0, 1]], [[1, 1], [1, 1]]]


def test_boxes_are_left_as_they_are():
    masks = CroppedMasks.from_bitmaps(np.ones((1, 20, 20), np.uint8))
    boxes = torch.tensor([[-5.0, -5, 30, 30]])
    (targets,) = multires_mask_targets(masks, boxes, torch.tensor([0]), sizes=(4,))
    assert boxes.tolist() == [[-5, -5, 30, 30]]
    assert targets.min() == 1  # clipped to the image, all of which is foreground


def test_nothing_to_do_and_nothing_to_see():
    boxes, gt_inds = torch.tensor([[1.0, 1, 9, 9]]), torch.tensor([0])
    no_masks = CroppedMasks.from_bitmaps(np.zeros((0, 20, 20), np.uint8))
    fine, coarse = multires_mask_targets(no_masks, boxes[:0], gt_inds[:0])
    assert fine.shape == (0, 28, 28) and coarse.shape == (0, 14, 14)
    empty_mask = CroppedMasks.from_bitmaps(np.zeros((1, 20, 20), np.uint8))
    assert multires_mask_targets(empty_mask, boxes, gt_inds)[0].max() == 0
    full_mask = CroppedMasks.from_bitmaps(np.ones((1, 20, 20), np.uint8))
    outside = boxes + 100
    assert multires_mask_targets(full_mask, outside, gt_inds)[0].max() == 0


def test_layout_of_the_arguments_does_not_matter():
    bitmaps = rasterize(random_polygons(5, HEIGHT, WIDTH, seed=5), HEIGHT, WIDTH)
    masks = CroppedMasks.from_bitmaps(bitmaps)
    boxes, gt_inds = random_boxes(16, bitmaps, seed=5)
    wanted = multires_mask_targets(masks, boxes, gt_inds)
    strided = torch.stack([gt_inds, gt_inds], dim=1)[:, 1]
    actual = multires_mask_targets(masks, boxes.T.contiguous().T, strided)
    assert all(torch.equal(a, w) for a, w in zip(actual, wanted, strict=True))


@pytest.fixture
def arguments():
    masks = CroppedMasks.from_bitmaps(np.ones((2, 20, 30), np.uint8))
    boxes = torch.tensor([[1.0, 2, 10, 12], [3, 4, 20, 18]])
    return {"masks": masks, "boxes": boxes, "gt_inds": torch.tensor([0, 1])}


def test_opcheck(arguments):
    masks, boxes, gt_inds = arguments.values()
    torch.library.opcheck(
        torch.ops.nbseg.multires_mask_targets.default,
        (masks.bits, masks.starts, masks.crops, 20, 30, boxes, gt_inds, [28, 14]),
    )


def test_compiles_without_a_graph_break(arguments):
    compiled = torch.compile(multires_mask_targets, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(
        compiled(**arguments), multires_mask_targets(**arguments), strict=True
    ):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"masks": BitmapMasks(np.ones((2, 20, 30), np.uint8), 20, 30)},
            TypeError,
            "masks must be CroppedMasks, found BitmapMasks; convert MMDetection's masks with "
            "CroppedMasks.from_instance_masks",
        ),
        (
            {"boxes": torch.zeros(2, 4, dtype=torch.float64)},
            TypeError,
            "boxes must be float32, found float64",
        ),
        (
            {"boxes": torch.zeros(2, 5)},
            ValueError,
            r"boxes must have shape \(R, 4\), found \(2, 5\)",
        ),
        (
            {"gt_inds": torch.zeros(3, dtype=torch.int64)},
            ValueError,
            r"gt_inds must have shape \(2,\), found \(3,\)",
        ),
        ({"gt_inds": torch.zeros(2)}, TypeError, "gt_inds must be int64, found float32"),
        (
            {"gt_inds": torch.tensor([0, 2])},
            IndexError,
            r"gt_inds\[1\] must be in \[0, 2\), found 2",
        ),
        (
            {"gt_inds": torch.tensor([-1, 0])},
            IndexError,
            r"gt_inds\[0\] must be in \[0, 2\), found -1",
        ),
        (
            {"boxes": torch.tensor([[1.0, 2, 10, 12], [9, 4, 8, 18]])},
            ValueError,
            r"boxes\[1\] must have x0 <= x1 and y0 <= y1, found \(9",
        ),
        (
            {"boxes": torch.tensor([[1.0, float("nan"), 10, 12], [9, 4, 18, 18]])},
            ValueError,
            r"boxes\[0\] must have x0 <= x1 and y0 <= y1, found .*nan",
        ),
        ({"sizes": ()}, ValueError, r"sizes must be one or more positive integers, found \(\)"),
        ({"sizes": (28, 0)}, ValueError, r"sizes must be .* found \(28, 0\)"),
    ],
)
def test_wrong_arguments_are_named(arguments, change, error, message):
    with pytest.raises(error, match=message):
        multires_mask_targets(**{**arguments, **change})


def test_masks_on_another_device_are_refused(arguments):
    arguments["masks"] = arguments["masks"].to("meta")
    with pytest.raises(ValueError, match=r"masks.bits must be on cpu, found meta"):
        multires_mask_targets(**arguments)
