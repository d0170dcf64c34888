"""CroppedBitmapMasks do what MMDetection's BitmapMasks do."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmdet.models.utils import mask2ndarray
from mmdet.structures.mask import BitmapMasks
from mmdet.structures.mask.structures import BaseInstanceMasks
from mmengine.structures import InstanceData

from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks

HEIGHT, WIDTH = 37, 53


@pytest.fixture
def bitmap_masks():
    """A disc, noise, all of the image, nothing, a corner pixel."""
    masks = np.zeros((5, HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    masks[0] = np.hypot(y - 20, x - 30) < 12
    masks[1, 5:25, 3:30] = np.random.default_rng(0).random((20, 27)) < 0.4
    masks[2] = 1
    masks[4, -1, -1] = 1
    return BitmapMasks(masks, HEIGHT, WIDTH)


@pytest.fixture
def masks(bitmap_masks):
    return CroppedBitmapMasks.from_bitmaps(bitmap_masks.masks)


def assert_same(actual, expected):
    assert isinstance(actual, CroppedBitmapMasks)
    assert (actual.height, actual.width) == (expected.height, expected.width)
    np.testing.assert_array_equal(actual.masks, expected.masks)
    repacked = CroppedBitmapMasks.from_bitmaps(expected.masks)
    assert actual.crops.tolist() == repacked.crops.tolist()


OPERATIONS = {
    "resize": lambda masks: masks.resize((80, 31)),
    "resize to one pixel": lambda masks: masks.resize((1, 1)),
    "resize smoothly": lambda masks: masks.resize((80, 31), interpolation="bilinear"),
    "rescale by a factor": lambda masks: masks.rescale(1.7),
    "rescale into a size": lambda masks: masks.rescale((100, 60)),
    "flip": lambda masks: masks.flip(),
    "flip vertically": lambda masks: masks.flip("vertical"),
    "flip both": lambda masks: masks.flip("diagonal"),
    "pad": lambda masks: masks.pad((40, 64)),
    "pad with foreground": lambda masks: masks.pad((40, 64), pad_val=1),
    "crop": lambda masks: masks.crop(np.array([10, 8, 41, 30])),
    "crop at the border": lambda masks: masks.crop(np.array([-3, 8, 70, 60])),
    "crop to nothing": lambda masks: masks.crop(np.array([10, 8, 10, 8])),
    "expand": lambda masks: masks.expand(90, 70, 11, 5),
    "translate": lambda masks: masks.translate((HEIGHT, WIDTH), 7, "vertical"),
    "shear": lambda masks: masks.shear((HEIGHT, WIDTH), 0.3),
    "rotate": lambda masks: masks.rotate((HEIGHT, WIDTH), 20.0),
    "slice": lambda masks: masks[1:3],
    "integer": lambda masks: masks[2],
    "integers": lambda masks: masks[np.array([4, 0])],
    "booleans": lambda masks: masks[np.array([True, False, True, False, True])],
    "negative step": lambda masks: masks[::-1],
    "bytes": lambda masks: masks[np.array([0, 1, 1], np.uint8)],
    "no instance": lambda masks: masks[np.array([], dtype=np.int64)],
    "no instance, flipped": lambda masks: masks[np.array([], dtype=np.int64)].flip(),
    "cat": lambda masks: type(masks).cat([masks[[0]], masks.flip()[3:], masks]),
    "cat of one's own": lambda masks: type(masks).cat([masks[2:3], masks[0:1]]),
}


@pytest.mark.parametrize("copy", [lambda masks: masks, deepcopy], ids=["itself", "copy"])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_equals_bitmap_masks(masks, bitmap_masks, operation, copy):
    before = masks.to_bitmaps()
    assert_same(copy(operation(masks)), operation(bitmap_masks))
    np.testing.assert_array_equal(masks.to_bitmaps(), before)


def test_resizing_equals_opencv_at_every_size():
    bitmaps = (np.random.default_rng(1).random((1, 1, 97)) < 0.5).astype(np.uint8)
    bitmap_masks, masks = BitmapMasks(bitmaps, 1, 97), CroppedBitmapMasks.from_bitmaps(bitmaps)
    for width in range(1, 600):
        assert_same(masks.resize((1, width)), bitmap_masks.resize((1, width)))


def test_areas_boxes_and_arrays(masks, bitmap_masks):
    np.testing.assert_array_equal(masks.areas, bitmap_masks.areas)
    assert torch.equal(masks.get_bboxes().tensor, bitmap_masks.get_bboxes("hbox").tensor)
    assert torch.equal(
        masks.to_tensor(torch.float32, "cpu"), bitmap_masks.to_tensor(torch.float32, "cpu")
    )
    np.testing.assert_array_equal(mask2ndarray(masks), bitmap_masks.masks)
    np.testing.assert_array_equal(np.stack(list(masks)), bitmap_masks.masks)
    none = masks[:0]
    assert len(none.areas) == 0 and none.get_bboxes().tensor.shape == (0, 4)


@pytest.mark.parametrize("binarize", [True, False])
@pytest.mark.parametrize("shape", [(28, 28), (14, 7)])
def test_crop_and_resize_equals_bitmap_masks(masks, bitmap_masks, shape, binarize):
    boxes = np.array([[2, 3, 40, 30], [10.5, 8.25, 31, 36], [0, 0, 53, 37]], np.float32)
    inds = np.array([1, 0, 4])
    actual, expected = (
        m.crop_and_resize(boxes, shape, inds, "cpu", binarize=binarize)
        for m in (masks, bitmap_masks)
    )
    assert isinstance(actual, BitmapMasks)
    np.testing.assert_array_equal(actual.masks, expected.masks)


def test_crop_and_resize_of_boxes_outside_equals_bitmap_masks(masks, bitmap_masks):
    arguments = (np.array([[-10, -10, 10, 10]], np.float32), (14, 14), np.array([2]))
    actual, expected = (m.crop_and_resize(*arguments).masks for m in (masks, bitmap_masks))
    np.testing.assert_array_equal(actual, expected)


def test_is_made_and_set_as_bitmap_masks_are(masks, bitmap_masks):
    made = CroppedBitmapMasks(bitmap_masks.masks, HEIGHT, WIDTH)
    assert_same(made, bitmap_masks)
    assert_same(CroppedBitmapMasks([bitmap_masks.masks[1]], height=HEIGHT, width=WIDTH), masks[1])
    made.masks = bitmap_masks.masks[:, :20]
    assert_same(made, BitmapMasks(bitmap_masks.masks[:, :20], 20, WIDTH))
    with pytest.raises(ValueError, match="read-only"):
        masks.masks[:, 3:5, 3:5] = 0
    assert_same(CroppedBitmapMasks.cat([masks, bitmap_masks]), bitmap_masks.cat([bitmap_masks] * 2))


def test_a_part_does_not_carry_the_bits_of_the_others(masks):
    assert len(pickle.dumps(masks[:0])) < 400
    assert len(pickle.dumps(masks[[4]])) < 424 < len(pickle.dumps(masks))


def test_is_an_instance_mask_in_instance_data(masks, bitmap_masks):
    assert isinstance(masks, BaseInstanceMasks)
    labels = torch.arange(5)
    ours, theirs = (InstanceData(masks=m, labels=labels) for m in (masks, bitmap_masks))
    keep = torch.tensor([True, False, True, True, False])
    for index in (keep, torch.tensor([3, 1]), 2, slice(1, 3), keep & False):
        assert_same(deepcopy(ours[index]).masks, theirs[index].masks)
    for moved in (ours.to("cpu"), ours.to(torch.float32), ours.to(device="cpu", dtype=torch.half)):
        assert_same(moved.masks, bitmap_masks)
    assert_same(InstanceData.cat([ours, ours]).masks, InstanceData.cat([theirs, theirs]).masks)


def test_wrong_input_is_named(masks):
    with pytest.raises(ValueError, match="\"diagonal\", found 'sideways'"):
        masks.flip("sideways")
    with pytest.raises(ValueError, match=r"same size .*found the sizes \[\(37, 53\), \(40, 64\)\]"):
        CroppedBitmapMasks.cat([masks, masks.pad((40, 64))])
