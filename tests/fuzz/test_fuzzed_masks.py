"""Compares polygons and operations of cropped masks with pycocotools and numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from nbseg.coco_masks import FARTHEST, to_rle
from nbseg.structures import CroppedMasks

sides = st.integers(1, 40)
numbers = st.one_of(st.floats(-60, 100), st.integers(-60, 100), st.just(1e4))
polygons = st.lists(numbers, min_size=6, max_size=16).filter(lambda p: len(p) % 2 == 0)


@given(st.lists(st.lists(polygons, min_size=1, max_size=3), max_size=3), sides, sides)
def test_polygons_equal_pycocotools(instances, height, width):
    wanted = [
        coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, height, width)))
        for parts in instances
    ]
    packed = CroppedMasks.from_segmentations(instances, height, width)
    assert np.array_equal(packed.to_bitmaps(), np.array(wanted).reshape(-1, height, width))
    for parts, bitmap in zip(instances, wanted, strict=True):
        assert np.array_equal(coco_mask.decode(to_rle(parts, height, width)), bitmap)


@given(st.lists(st.floats(), min_size=6, max_size=6))
def test_far_points_are_refused(polygon):
    sound = all(abs(value) <= FARTHEST for value in polygon)
    for encode in (
        lambda: to_rle([polygon], 8, 9),
        lambda: CroppedMasks.from_segmentations([[polygon]], 8, 9),
    ):
        try:
            encode()
            assert sound
        except ValueError:
            assert not sound


@given(st.one_of(st.binary(max_size=12), st.text(max_size=12)), sides, sides)
def test_any_counts_are_decoded_or_refused(counts, height, width):
    rle = {"size": [height, width], "counts": counts}
    try:
        packed = CroppedMasks.from_segmentations([rle], height, width)
    except ValueError:
        return
    assert np.array_equal(packed.to_bitmaps()[0], coco_mask.decode(rle))


@given(st.data())
def test_pixels_are_selected_as_by_numpy(data):
    count, height, width = data.draw(st.integers(0, 3)), data.draw(sides), data.draw(sides)
    bitmaps = data.draw(arrays(np.uint8, (count, height, width), elements=st.integers(0, 1)))
    rows, columns = (
        np.array(data.draw(st.lists(st.integers(-1, size - 1), max_size=20)), int)
        for size in (height, width)
    )
    framed = np.pad(bitmaps, ((0, 0), (0, 1), (0, 1)))  # index -1 is background
    masks = CroppedMasks.from_bitmaps(bitmaps)
    selected = masks.select_pixels(rows, columns)
    assert np.array_equal(selected.to_bitmaps(), framed[:, rows][:, :, columns])
    assert np.array_equal(masks.union(), bitmaps.any(0) if count else np.zeros((height, width)))
    both = CroppedMasks.cat([masks, masks])
    assert np.array_equal(both.to_bitmaps(), np.concatenate([bitmaps, bitmaps]))
