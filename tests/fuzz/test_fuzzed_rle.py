"""Compares run lengths and cropped masks with pycocotools on arbitrary bitmaps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from nbseg.rle import encode_rle
from nbseg.structures import CroppedMasks

bitmaps = arrays(
    np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=40), elements=st.integers(0, 1)
)


@given(bitmaps)
def test_encoding_equals_pycocotools(masks):
    for mask in masks:
        expected = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
        assert encode_rle(mask) == {"size": list(mask.shape), "counts": expected}


@given(bitmaps, st.data())
def test_masks_survive_packing_run_lengths_and_indexing(masks, data):
    rles = [coco_mask.encode(np.asfortranarray(mask)) for mask in masks]
    index = data.draw(st.lists(st.integers(-len(masks), len(masks) - 1), max_size=8))
    chosen = masks[np.array(index, int)]
    for packed in (
        CroppedMasks.from_bitmaps(masks),
        CroppedMasks.from_segmentations(rles, *masks.shape[1:]),
    ):
        assert np.array_equal(packed.to_bitmaps(), masks)
        assert np.array_equal(packed[np.array(index, int)].to_bitmaps(), chosen)
