"""Predict large images tile by tile, and join the objects that lie in several tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.coco_masks import decode_crop
from nbseg.deploy.detections import Detections
from nbseg.deploy.preprocessing import check_image
from nbseg.image_options import Image
from nbseg.large_images import LargeImage, open_image
from nbseg.rle import encode_crop
from nbseg.tiles import Window, intersection, tile_windows

# Two detections of different tiles show the same object in the cases below. The pixels that their
# masks have in common are counted only where the tiles overlap.
# - Both masks are complete, and their IoU is at least SAME.
# - One mask is complete, and covers at least this share of the other mask, which is cut off.
# - Both masks are cut off, and have at least this share of the smaller mask in common. Only the
#   pixels that lie in both tiles are counted.
SAME = 0.5
# A mask less than CUT pixels from the border of its tile may be cut off there. Of masks less than
# ROOM pixels from the border, the nearer a mask is to the border, the less reliable it is.
CUT, ROOM = 3, 16
# COCO's run lengths have 32 bits.
MOST_PIXELS = 2**32


@dataclass(frozen=True)
class Part:
    """Describes a detection in a tile, or the union of several such detections.

    Attributes:
        tile: index of the tile.
        label, score, box: as in ``Detections``, but the box is in pixels of the whole image.
        window: place of ``mask`` in the whole image: top, bottom, left and right in pixels;
            bottom and right are exclusive.
        mask: the mask, cropped to its foreground; bool, shape (bottom - top, right - left).
        room: distance in pixels between the mask and the nearest border of the tile, at most
            ``ROOM`` (16). Borders of the tile that lie on the image's border do not count.
    """

    tile: int
    label: int
    score: float
    box: npt.NDArray[np.float32]
    window: Window
    mask: npt.NDArray[np.bool_]
    room: int


class TiledSegmenter:
    """Finds objects in overlapping tiles of a large image, and joins the results of the tiles.

    An object that is not longer than the overlap lies completely in at least one tile. If several
    tiles contain the complete object, the detection that is farthest from the border of its tile is
    kept. Distances of 16 pixels or more count as equal; then the detection with the higher score is
    kept. A detection that is cut off at the border of its tile is dropped if a complete object of
    the same class covers at least half of the detection. An object that every tile cuts off is
    joined from its parts. If two such objects of the same class overlap, they may become one
    object.

    Args:
        segmenter: a ``Segmenter`` or a ``CheckpointSegmenter``.
        tile: side of a tile in pixels of the image. An image that is smaller than a tile is
            predicted as a whole.
        overlap: smallest number of pixels that neighboring tiles share; None for a quarter of
            ``tile``. Without an overlap, the parts of an object could not be matched.

    Raises:
        ValueError: ``tile`` is less than 32, or ``overlap`` is less than 6 or more than half a
            tile.
    """

    def __init__(self, segmenter: Any, tile: int, overlap: int | None = None) -> None:
        overlap = tile // 4 if overlap is None else overlap
        list(tile_windows(tile, tile, tile, overlap))  # refuses wrong sizes
        if overlap < 2 * CUT:
            raise ValueError(f"the overlap must be at least {2 * CUT} pixels, found {overlap}")
        self._segmenter = segmenter
        self._tile, self._overlap = tile, overlap
        self.classes: Sequence[str] = segmenter.classes
        self.providers: Sequence[str] = segmenter.providers

    def read(self, path: str | Path) -> Image | LargeImage:
        """Return an image that is ready for prediction.

        The method raises the same errors as ``Segmenter.read``.

        Returns:
            The array that ``Segmenter.read`` would return; or, for a TIFF of at least 2**26 pixels
            that can be read in parts, a ``LargeImage``. A ``LargeImage`` is an opened file that the
            prediction reads tile by tile.
        """
        image: Image | LargeImage = open_image(path, self._segmenter.image_options)
        return image

    def __call__(self, image: Image | LargeImage) -> Detections:
        """Return the detections in one image.

        Args:
            image: (H, W, 3) uint8 in BGR order, or an opened large TIFF.

        Raises:
            TypeError: the image is not an array of uint8.
            ValueError: the image has another shape or at least 2**32 pixels, or a part of a TIFF
                cannot be decoded.
        """
        if not isinstance(image, LargeImage):
            check_image(image, self._segmenter.image_options.channels)
        height, width = image.shape[:2]
        if height * width >= MOST_PIXELS:
            raise ValueError(
                f"an image of {width} x {height} pixels has too many pixels for COCO's run lengths "
                f"(at most {MOST_PIXELS - 1}); cut the image into parts, or read a TIFF at a lower "
                "resolution with image_options.level=1"
            )
        windows = list(tile_windows(height, width, self._tile, self._overlap))
        if len(windows) == 1:
            found: Detections = self._segmenter(image[:, :])
            return found
        parts = [
            part
            for number, window in enumerate(windows)
            for part in self._predict(image, number, window)
        ]
        objects = _objects(parts, windows)
        objects.sort(key=lambda part: -part.score)
        return Detections(
            np.array([part.box for part in objects], np.float32).reshape(-1, 4),
            np.array([part.score for part in objects], np.float32),
            np.array([part.label for part in objects], np.int64),
            [_rle(part, height, width) for part in objects],
        )

    def _predict(self, image: Image | LargeImage, number: int, window: Window) -> Iterator[Part]:
        """Yield those detections in a tile that have a mask of at least one pixel.

        Args:
            image: the whole image.
            number: index of the tile.
            window: place of the tile in the image.
        """
        top, bottom, left, right = window
        height, width = image.shape[:2]
        tile = np.ascontiguousarray(image[top:bottom, left:right])
        detections: Detections = self._segmenter(tile)
        shift = np.array([left, top, left, top], np.float32)
        for index, rle in enumerate(detections.rles):
            mask, (y0, y1, x0, x1) = decode_crop(rle)
            if not mask.size:
                continue
            place = (top + y0, top + y1, left + x0, left + x1)
            yield Part(
                number,
                int(detections.labels[index]),
                float(detections.scores[index]),
                detections.boxes[index] + shift,
                place,
                mask,
                min(
                    ROOM,
                    place[0] - top if top > 0 else ROOM,
                    bottom - place[1] if bottom < height else ROOM,
                    place[2] - left if left > 0 else ROOM,
                    right - place[3] if right < width else ROOM,
                ),
            )


def _objects(parts: Sequence[Part], windows: Sequence[Window]) -> list[Part]:
    """Return one detection for each object, from the detections in all tiles.

    Args:
        parts: the detections; several of them may show the same object.
        windows: the places of the tiles in the image.
    """
    tiles = np.array([part.tile for part in parts])
    labels = np.array([part.label for part in parts])
    places = np.array([part.window for part in parts]).reshape(-1, 4)

    def near(number: int, among: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Window]]:
        """Yield the indices of parts that may show the same object as the part ``number``.

        Such a part is True in ``among``, comes from another tile, has the same label, and has a
        window that overlaps the window of ``number``. With each index, yield the window that the
        two tiles have in common.
        """
        part = parts[number]
        top, bottom, left, right = part.window
        found = among & (tiles != part.tile) & (labels == part.label)
        found &= (places[:, 0] < bottom) & (places[:, 1] > top)
        found &= (places[:, 2] < right) & (places[:, 3] > left)
        for other in np.flatnonzero(found).tolist():
            shared = intersection(windows[part.tile], windows[parts[other].tile])
            if shared:
                yield other, shared

    kept = np.zeros(len(parts), bool)
    pieces = np.zeros(len(parts), bool)
    for number in sorted(range(len(parts)), key=lambda i: (-parts[i].room, -parts[i].score)):
        part = parts[number]
        whole = part.room >= CUT
        own = np.count_nonzero(part.mask)
        for other, shared in near(number, kept):
            both = _common(part, parts[other], shared)
            union = own + np.count_nonzero(parts[other].mask) - both
            if both and both >= SAME * (union if whole else own):
                break
        else:
            (kept if whole else pieces)[number] = True

    root = {number: number for number in np.flatnonzero(pieces).tolist()}

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    for number in root:
        for other, shared in near(number, pieces):
            pair = parts[number], parts[other]
            both = _common(*pair, shared)
            if both and both >= SAME * min(_area(part, shared) for part in pair):
                root[find(other)] = find(number)
    groups: dict[int, list[Part]] = {}
    for number in root:
        groups.setdefault(find(number), []).append(parts[number])
    return [parts[i] for i in np.flatnonzero(kept)] + [_joined(group) for group in groups.values()]


def _crop(part: Part, window: Window) -> npt.NDArray[np.bool_]:
    """Return the mask of a part inside ``window``, which must lie within the part's window."""
    top, _, left, _ = part.window
    return part.mask[window[0] - top : window[1] - top, window[2] - left : window[3] - left]


def _common(a: Part, b: Part, shared: Window) -> int:
    """Return the number of pixels inside ``shared`` that belong to the masks of both parts."""
    both = intersection(a.window, b.window)
    both = both and intersection(both, shared)
    return int(np.count_nonzero(_crop(a, both) & _crop(b, both))) if both else 0


def _area(part: Part, window: Window) -> int:
    """Return the number of pixels inside ``window`` that belong to the mask of a part."""
    inside = intersection(part.window, window)
    return int(np.count_nonzero(_crop(part, inside))) if inside else 0


def _joined(parts: Sequence[Part]) -> Part:
    """Return the union of an object's parts, with the score of the part that scores highest."""
    best = max(parts, key=lambda part: part.score)
    if len(parts) == 1:
        return best
    tops, bottoms, lefts, rights = zip(*(part.window for part in parts), strict=True)
    window = min(tops), max(bottoms), min(lefts), max(rights)
    mask = np.zeros((window[1] - window[0], window[3] - window[2]), bool)
    for part in parts:
        top, left = part.window[0] - window[0], part.window[2] - window[2]
        mask[top : top + part.mask.shape[0], left : left + part.mask.shape[1]] |= part.mask
    boxes = np.array([part.box for part in parts])
    box = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return Part(best.tile, best.label, best.score, box, window, mask, best.room)


def _rle(part: Part, height: int, width: int) -> dict[str, Any]:
    rle = encode_crop(part.mask, part.window[0], part.window[2], height, width)
    return {**rle, "counts": rle["counts"].encode()}
