"""Tiled prediction, against the objects of a scene in which a segmenter sees everything."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from nbseg.deploy.detections import Detections
from nbseg.deploy.tiling import TiledSegmenter
from nbseg.image_options import ImageOptions
from nbseg.rle import encode_rle
from nbseg.tiles import tile_windows


class Exact:
    """Finds each connected part of each color; the red value is the label, green the score."""

    classes = ("a", "b", "c")
    image_options = ImageOptions()
    providers = ("none",)

    def __init__(self):
        self.sizes = []

    def __call__(self, image):
        self.sizes.append(image.shape[:2])
        boxes, scores, labels, rles = [], [], [], []
        for label in range(1, 4):
            count, parts = cv2.connectedComponents((image[..., 2] == label).astype(np.uint8))
            for part in range(1, count):
                mask = parts == part
                rows, columns = np.nonzero(mask)
                boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                scores.append(image[rows[0], columns[0], 1] / 255)
                labels.append(label - 1)
                rle = encode_rle(mask)
                rles.append({**rle, "counts": rle["counts"].encode()})
        order = np.argsort(-np.array(scores), kind="stable")
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4)[order],
            np.array(scores, np.float32)[order],
            np.array(labels, np.int64)[order],
            [rles[i] for i in order],
        )


def scene(height, width, side, count, seed=0):
    """Return an image of disjoint ellipses with sides of up to ``side`` pixels."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    used = np.zeros((height, width), np.uint8)
    for _ in range(count):
        a, b = random.integers(2, side // 2, 2).tolist()
        center = int(random.integers(0, width)), int(random.integers(0, height))
        shape = [np.zeros((height, width), np.uint8) for _ in range(2)]
        for grown, mask in zip((2, 0), shape, strict=True):
            cv2.ellipse(mask, center, (a + grown, b + grown), 0, 0, 360, 1, -1)
        if not (shape[0] & used).any():
            used |= shape[1]
            image[shape[1] > 0] = (9, random.integers(1, 256), random.integers(1, 4))
    return image


def as_set(found):
    """Return class, score, mask and box of all detections, in any order."""
    return {
        (int(label), float(score), rle["counts"], tuple(box.tolist()))
        for label, score, rle, box in zip(
            found.labels, found.scores, found.rles, found.boxes, strict=True
        )
    }


@pytest.mark.parametrize("size", [(300, 410), (128, 500), (129, 128), (700, 131)])
@pytest.mark.parametrize("side", [24, 90])
def test_objects_come_out_once_and_whole(size, side):
    """Objects below the overlap are whole in a tile; longer ones are joined from their parts."""
    image = scene(*size, side, 150)
    exact = Exact()
    found = TiledSegmenter(exact, 128, 32)(image)
    assert set(exact.sizes) == {(128, 128)} and len(exact.sizes) > 1
    expected = Exact()(image)
    assert len(found.scores) == len(expected.scores) > 5
    assert as_set(found) == as_set(expected)
    assert (np.diff(found.scores) <= 0).all()
    masks = coco_mask.decode(found.rles)
    for mask, box in zip(np.moveaxis(masks, -1, 0), found.boxes, strict=True):
        rows, columns = np.nonzero(mask)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_small_image_is_not_tiled():
    image = scene(100, 128, 24, 50)
    exact = Exact()
    found = TiledSegmenter(exact, 128)(image)
    assert exact.sizes == [(100, 128)] and as_set(found) == as_set(Exact()(image))


def test_an_image_without_objects():
    found = TiledSegmenter(Exact(), 64)(np.zeros((200, 200, 3), np.uint8))
    assert found.boxes.shape == (0, 4) and found.rles == [] and found.labels.dtype == np.int64


def test_neighbors_are_not_joined():
    """Objects of another class, and objects that only touch, stay apart."""
    image = np.zeros((100, 160, 3), np.uint8)
    image[10:40, 60:80] = (9, 200, 1)
    image[10:40, 80:100] = (9, 100, 2)
    image[60:90, 60:79] = (9, 50, 1)
    image[60:90, 80:100] = (9, 60, 1)
    found = TiledSegmenter(Exact(), 100, 40)(image)
    assert as_set(found) == as_set(Exact()(image)) and len(found.rles) == 4


class Noisy(Exact):
    """Sees less of an object the nearer the border of the tile is, and with a lower score."""

    def __call__(self, image):
        found = super().__call__(image)
        height, width = image.shape[:2]
        x0, y0, x1, y1 = found.boxes.T
        room = np.minimum.reduce([x0, y0, width - x1, height - y1])
        return Detections(found.boxes, found.scores * (room + 1) / 1000, found.labels, found.rles)


def test_the_detection_with_the_highest_score_that_is_not_cut_off_counts():
    image = np.zeros((100, 160, 3), np.uint8)
    image[40:60, 65:85] = (9, 255, 1)
    found = TiledSegmenter(Noisy(), 100, 40)(image)
    # In the first tile, the object ends 15 pixels before the border; in the second, it begins at 5.
    assert found.scores.tolist() == pytest.approx([16 / 1000])
    assert as_set(Exact()(image)).pop()[2] == found.rles[0]["counts"]


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"),
    [(10000, 9999, 1024, 256), (65, 64, 64, 0), (5, 7, 64, 9)],
)
def test_tiles_cover_the_image_and_overlap(height, width, tile, overlap):
    windows = list(tile_windows(height, width, tile, overlap))
    for axis, side in ((0, height), (2, width)):
        spans = sorted({(window[axis], window[axis + 1]) for window in windows})
        assert spans[0][0] == 0 and spans[-1][1] == side
        assert {end - start for start, end in spans} == {min(tile, side)}
        shared = [a[1] - b[0] for a, b in zip(spans, spans[1:], strict=False)]
        assert all(overlap <= pixels < tile for pixels in shared)
    assert len(set(windows)) == len(windows)


@pytest.mark.parametrize(("tile", "overlap"), [(31, 5), (64, 33), (64, -1), (-5, None)])
def test_wrong_sizes_are_refused(tile, overlap):
    with pytest.raises(ValueError, match="at least 32 pixels, and the overlap must be 0 to"):
        TiledSegmenter(Exact(), tile, overlap)


def test_large_objects_near_smaller_ones_are_kept_whole():
    """A small object in the overlap is no reason to drop a part of a large one."""
    image = np.zeros((100, 224, 3), np.uint8)
    image[40:46, 20:200] = (9, 240, 1)
    image[48:66, 100:124] = (9, 20, 1)
    found = TiledSegmenter(Exact(), 128, 32)(image)
    assert as_set(found) == as_set(Exact()(image))


class Nested(Exact):
    """Also sees the bright core of an object as an object of the same class."""

    def __call__(self, image):
        whole = super().__call__(image)
        core = np.where(image[..., :1] == 50, image, 0)
        inner = super().__call__(core)
        order = np.argsort(-np.concatenate([whole.scores, inner.scores]), kind="stable")
        return Detections(
            np.concatenate([whole.boxes, inner.boxes])[order],
            np.concatenate([whole.scores, inner.scores])[order],
            np.concatenate([whole.labels, inner.labels])[order],
            [(whole.rles + inner.rles)[i] for i in order],
        )


@pytest.mark.parametrize("score", [30, 250])
def test_an_object_with_a_core_in_the_overlap(score):
    image = np.zeros((100, 224, 3), np.uint8)
    image[48:53, 20:200] = (9, 100, 1)
    image[38:63, 104:118] = (50, score, 1)
    expected = Nested()(image)
    found = TiledSegmenter(Nested(), 128, 32)(image)
    assert sorted(rle["counts"] for rle in found.rles) == sorted(r["counts"] for r in expected.rles)


def test_an_overlap_is_needed():
    with pytest.raises(ValueError, match="overlap must be at least 6 pixels, found 0"):
        TiledSegmenter(Exact(), 128, 0)
