"""Convert shapes that people drew in labeling tools to masks in run-length encoding (RLE).

Coordinates are (x, y) in pixels. (0, 0) is the upper left corner of the first pixel, so the center
of this pixel is (0.5, 0.5). There is one exception: if a polygon is encoded with ``pixel_centers``,
(0, 0) is the center of the first pixel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.coco_masks import to_rle
from nbseg.datasets.converters.polygon_pixels import draw_centers, draw_edges
from nbseg.rle import encode_crop

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Polygon:
    """Holds a polygon, which may have holes.

    Attributes:
        rings: the outline and the outlines of the holes, each of shape (N, 2) with N >= 3.
        relative: whether the coordinates are fractions of the image's width and height. If False,
            the coordinates are in pixels.
    """

    rings: tuple[Points, ...]
    relative: bool = False

    def encode(self, height: int, width: int, pixel_centers: bool) -> dict[str, Any]:
        """Return the compressed RLE of the polygon's mask in an image.

        Args:
            height, width: size of the image in pixels.
            pixel_centers: whether the outlines run through the centers of the border pixels.
                These centers have whole numbers as coordinates, and the border pixels belong to the
                object. If False, the outlines run along the edges of pixels.
        """
        scale = (width, height) if self.relative else (1, 1)
        rings = [ring * scale for ring in self.rings]
        end, start = rings[0].max(axis=0), rings[0].min(axis=0)
        left_of = end < 0 if pixel_centers else end <= 0
        if left_of.any() or (start >= (width, height)).any():
            return to_rle(None, height, width)
        if len(rings) == 1 and not pixel_centers:
            return to_rle([rings[0].ravel().tolist()], height, width)
        corner = np.clip(np.floor(rings[0].min(axis=0)), 0, (width, height)).astype(int)
        end = np.clip(np.ceil(rings[0].max(axis=0)) + 1, 0, (width, height)).astype(int)
        columns, rows = np.maximum(end - corner, 0).tolist()
        if not (rows and columns):
            return to_rle(None, height, width)
        draw = draw_centers if pixel_centers else draw_edges
        mask, _ = draw(rings[0] - corner, rows, columns)
        for hole in rings[1:]:
            mask &= ~draw(hole - corner, rows, columns)[1]
        return encode_crop(mask, int(corner[1]), int(corner[0]), height, width)


@dataclass(frozen=True)
class Ellipse:
    """Holds an ellipse, which may be turned.

    Attributes:
        center: (x, y) in pixels.
        radii: half axes along x and along y in pixels, before the ellipse is turned.
        angle: angle by which the ellipse is turned clockwise, in degrees.
    """

    center: tuple[float, float]
    radii: tuple[float, float]
    angle: float = 0.0

    def encode(self, height: int, width: int, pixel_centers: bool = False) -> dict[str, Any]:
        """Return the compressed RLE of the pixels whose centers lie in the ellipse.

        ``height`` and ``width`` are the size of the image in pixels. ``pixel_centers`` has no
        effect. A radius of 0 or less gives an empty mask.
        """
        if min(self.radii) <= 0:
            return to_rle(None, height, width)
        reach = max(self.radii)
        left, top, right, bottom = (
            int(np.clip(value, 0, limit))
            for value, limit in (
                (np.floor(self.center[0] - reach), width),
                (np.floor(self.center[1] - reach), height),
                (np.ceil(self.center[0] + reach), width),
                (np.ceil(self.center[1] + reach), height),
            )
        )
        x = np.arange(left, right) + 0.5 - self.center[0]
        y = np.arange(top, bottom)[:, None] + 0.5 - self.center[1]
        cosine, sine = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        first, second = x * cosine + y * sine, y * cosine - x * sine
        a, b = self.radii
        inside = (first * b) ** 2 + (second * a) ** 2 <= (a * b) ** 2
        return encode_crop(inside, top, left, height, width)


@dataclass(frozen=True)
class Bitmap:
    """Holds a painted mask, or a crop of this mask.

    Attributes:
        mask: shape (H, W), bool.
        top, left: row and column in the image at which the mask's first pixel lies.
    """

    mask: Mask
    top: int = 0
    left: int = 0

    def encode(self, height: int, width: int, pixel_centers: bool = False) -> dict[str, Any]:
        """Return the compressed RLE of the mask in an image of ``height`` x ``width`` pixels.

        ``pixel_centers`` has no effect.

        Raises:
            ValueError: the mask extends beyond the image.
        """
        rows, columns = self.mask.shape
        if min(self.top, self.left) < 0 or self.top + rows > height or self.left + columns > width:
            raise ValueError(
                f"the mask of {columns} x {rows} pixels at column {self.left} and row {self.top} "
                f"extends beyond the image of {width} x {height} pixels"
            )
        return encode_crop(self.mask, self.top, self.left, height, width)


Shape = Polygon | Ellipse | Bitmap


def ring_of(points: Any) -> Points:
    """Return the corners of an outline as an array of shape (N, 2), float64.

    Raises:
        ValueError: there are fewer than three points, or they are not pairs of finite numbers.
    """
    ring = np.asarray(points, np.float64)
    if len(ring) < 3 or ring.shape[1:] != (2,) or not np.isfinite(ring).all():
        raise ValueError(
            f"found {len(ring)} points; expected at least 3 points with finite x and y"
        )
    return ring


def rectangle(
    x: float, y: float, width: float, height: float, angle: float = 0.0, pivot: str = "corner"
) -> Polygon:
    """Return a rectangle that is turned clockwise by an angle in degrees.

    Args:
        x, y: upper left corner before the turn, in pixels.
        width, height: sides in pixels.
        angle: angle of the clockwise turn in degrees.
        pivot: ``"corner"`` turns the rectangle around its upper left corner, ``"center"`` around
            its center.
    """
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    fixed = np.array((width, height)) / 2 if pivot == "center" else np.zeros(2)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = (corners - fixed) @ np.array([(cosine, sine), (-sine, cosine)]) + fixed
    return Polygon(((corners if angle == 0 else turned) + (x, y),))
