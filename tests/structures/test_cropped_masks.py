import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from pycocotools import mask as mask_utils

from nbseg._native import crops_from_rle
from nbseg.structures import CroppedMasks

HEIGHT, WIDTH = 37, 53
POLYGONS = [
    [[3.0, 4.0, 40.5, 6.2, 20.0, 33.0]],
    [[0.0, 0.0, 10.0, 0.0, 10.0, 10.0], [30.5, 20.5, 60.0, 20.5, 60.0, 40.0]],
]


@pytest.fixture
def bitmaps() -> np.ndarray:
    """Noise, full, a corner pixel, nothing, and a box one column wider than a byte."""
    masks = np.zeros((5, HEIGHT, WIDTH), np.uint8)
    masks[0] = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    masks[1] = 1
    masks[2, -1, -1] = 1
    masks[4, 10:20, 11:20] = 1
    return masks


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.int64])
def test_bitmaps_survive_the_round_trip(bitmaps, convert, dtype):
    masks = CroppedMasks.from_bitmaps(convert(bitmaps.astype(dtype)))
    assert (len(masks), masks.height, masks.width) == (5, HEIGHT, WIDTH)
    unpacked = masks.to_bitmaps()
    assert unpacked.dtype == np.uint8
    np.testing.assert_array_equal(unpacked, bitmaps)


def test_layout_is_the_documented_one():
    bitmap = np.zeros((1, 4, 20), np.uint8)
    bitmap[0, 1, 3] = bitmap[0, 2, 3:14] = 1
    masks = CroppedMasks.from_bitmaps(bitmap)
    assert masks.crops.tolist() == [[3, 1, 11, 2]]
    assert masks.starts.tolist() == [0]
    assert masks.bits.tolist() == [0b00000001, 0b000, 0b11111111, 0b111]
    dtypes = (masks.bits.dtype, masks.starts.dtype, masks.crops.dtype)
    assert dtypes == (torch.uint8, torch.int64, torch.int32)


def test_crops_are_tight(bitmaps):
    masks = CroppedMasks.from_bitmaps(bitmaps)
    boxes = mask_utils.toBbox(mask_utils.encode(np.asfortranarray(bitmaps.transpose(1, 2, 0))))
    np.testing.assert_array_equal(masks.crops.numpy(), boxes)
    assert masks.crops[3].tolist() == [0, 0, 0, 0]


def test_crops_are_unpacked_one_by_one(bitmaps):
    masks = CroppedMasks.from_bitmaps(bitmaps)
    for g, (crop, (x, y)) in enumerate(masks.iterate_crops()):
        height, width = crop.shape
        assert [x, y, width, height] == masks.crops[g].tolist()
        np.testing.assert_array_equal(crop, bitmaps[g, y : y + height, x : x + width])
    assert g == len(bitmaps) - 1


def test_polygons_are_rasterized_by_pycocotools():
    masks = CroppedMasks.from_segmentations(POLYGONS, HEIGHT, WIDTH)
    for polygons, bitmap in zip(POLYGONS, masks.to_bitmaps(), strict=True):
        parts = mask_utils.decode(mask_utils.frPyObjects(polygons, HEIGHT, WIDTH))
        np.testing.assert_array_equal(bitmap, parts.any(axis=2))


def test_instance_without_polygons_is_empty():
    masks = CroppedMasks.from_segmentations([[], POLYGONS[0]], HEIGHT, WIDTH)
    assert masks.to_bitmaps().any(axis=(1, 2)).tolist() == [False, True]


@pytest.mark.parametrize("form", ["bytes", "str", "uncompressed"])
def test_rle(bitmaps, form):
    rles = [mask_utils.encode(np.asfortranarray(bitmap)) for bitmap in bitmaps]
    if form == "str":
        rles = [{**rle, "counts": rle["counts"].decode()} for rle in rles]
    elif form == "uncompressed":
        rles = [uncompressed_rle(bitmap) for bitmap in bitmaps]
    np.testing.assert_array_equal(
        CroppedMasks.from_segmentations(rles, HEIGHT, WIDTH).to_bitmaps(), bitmaps
    )


def uncompressed_rle(bitmap: np.ndarray) -> dict:
    pixels = bitmap.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels, prepend=0))
    return {
        "size": list(bitmap.shape),
        "counts": np.diff(changes, prepend=0, append=pixels.size).tolist(),
    }


def test_mmdetection_masks(bitmaps):
    masks = CroppedMasks.from_instance_masks(BitmapMasks(bitmaps, HEIGHT, WIDTH))
    np.testing.assert_array_equal(masks.to_bitmaps(), bitmaps)
    assert CroppedMasks.from_instance_masks(masks) is masks

    polygons = [[np.array(part) for part in instance] for instance in POLYGONS]
    polygon_masks = PolygonMasks(polygons, HEIGHT, WIDTH)
    masks = CroppedMasks.from_instance_masks(polygon_masks)
    np.testing.assert_array_equal(masks.to_bitmaps(), polygon_masks.to_ndarray())


@pytest.mark.parametrize(
    "empty",
    [
        CroppedMasks.from_bitmaps(np.zeros((0, HEIGHT, WIDTH), np.uint8)),
        CroppedMasks.from_segmentations([], HEIGHT, WIDTH),
        CroppedMasks.from_instance_masks(BitmapMasks([], HEIGHT, WIDTH)),
        CroppedMasks.from_instance_masks(PolygonMasks([], HEIGHT, WIDTH)),
    ],
    ids=["bitmaps", "segmentations", "BitmapMasks", "PolygonMasks"],
)
def test_no_instance(empty):
    assert len(empty) == 0
    assert empty.crops.shape == (0, 4)
    assert empty.to_bitmaps().shape == (0, HEIGHT, WIDTH)


def test_to_moves_every_tensor(bitmaps):
    masks = CroppedMasks.from_bitmaps(bitmaps).to("meta")
    assert masks.bits.is_meta and masks.starts.is_meta and masks.crops.is_meta
    assert (masks.height, masks.width) == (HEIGHT, WIDTH)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"bitmaps must have shape \(G, H, W\), found \(4, 5\)"):
        CroppedMasks.from_bitmaps(np.zeros((4, 5), np.uint8))
    with pytest.raises(TypeError, match="bitmaps must be bool or integer, found float32"):
        CroppedMasks.from_bitmaps(np.zeros((1, 4, 5), np.float32))
    with pytest.raises(
        ValueError, match=r"size \[height, width\] = \[2, 3\], found the size \[4, 5\]"
    ):
        CroppedMasks.from_segmentations([{"size": [4, 5], "counts": [20]}], 2, 3)
    with pytest.raises(ValueError, match=r"height and width must be .* found -4 and -3"):
        crops_from_rle(["1;"], -4, -3)
    with pytest.raises(ValueError, match=r"counts\[0\] are not the run lengths of 2 x 3 pixels"):
        CroppedMasks.from_segmentations([{"size": [2, 3], "counts": "5"}], 2, 3)
    with pytest.raises(ValueError, match=r"-1048576 and 1048576 pixels, found 2000000\.0"):
        CroppedMasks.from_segmentations([[[0, 0, 1, 0, 1, 2e6]]], 2, 3)
    with pytest.raises(TypeError, match="masks must be BitmapMasks, .* found list"):
        CroppedMasks.from_instance_masks([])


@pytest.mark.parametrize("copy", [lambda m: pickle.loads(pickle.dumps(m)), deepcopy])
def test_copies(bitmaps, copy):
    masks = CroppedMasks.from_bitmaps(bitmaps)
    for original in (masks, masks[1:4], masks[:0]):
        copied = copy(original)
        np.testing.assert_array_equal(copied.to_bitmaps(), original.to_bitmaps())
        assert copied.crops.is_contiguous() and copied.starts.is_contiguous()


def test_pickle_is_little_more_than_the_bits(bitmaps):
    masks = CroppedMasks.from_bitmaps(bitmaps)
    assert len(pickle.dumps(masks)) < masks.bits.numel() + 24 * len(masks) + 500


def test_selected_pixels(bitmaps):
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(-1, HEIGHT, 60), rng.integers(-1, WIDTH, 45)
    padded = np.pad(bitmaps, ((0, 0), (0, 1), (0, 1)))  # index -1 is background
    selected = CroppedMasks.from_bitmaps(bitmaps).select_pixels(rows, columns)
    np.testing.assert_array_equal(selected.to_bitmaps(), padded[:, rows][:, :, columns])
    with pytest.raises(ValueError, match=r"columns must be in \[-1, 53\), found 53"):
        CroppedMasks.from_bitmaps(bitmaps).select_pixels(rows, np.array([0, WIDTH]))


def test_random_rle_equals_pycocotools():
    rng = np.random.default_rng(2)
    for _ in range(300):
        height, width = rng.integers(1, 80, 2)
        bitmap = rng.random((height, width)) < rng.choice([0.02, 0.5, 0.98])
        rle = mask_utils.encode(np.asfortranarray(bitmap.astype(np.uint8)))
        masks = CroppedMasks.from_segmentations([rle], int(height), int(width))
        np.testing.assert_array_equal(masks.to_bitmaps()[0], bitmap)
        np.testing.assert_array_equal(masks.crops[0], mask_utils.toBbox(rle))


def test_union():
    rng = np.random.default_rng(0)
    bitmaps = np.zeros((4, 30, 41), np.uint8)
    for bitmap in bitmaps[:3]:
        x, y = rng.integers(0, 25, 2)
        bitmap[y : y + 9, x : x + 13] = rng.random(bitmap[y : y + 9, x : x + 13].shape) > 0.5
    union = CroppedMasks.from_bitmaps(bitmaps).union()
    assert union.dtype == np.uint8
    np.testing.assert_array_equal(union, bitmaps.any(axis=0))
    nothing = CroppedMasks.from_bitmaps(bitmaps[:0]).union()
    np.testing.assert_array_equal(nothing, np.zeros((30, 41)))
