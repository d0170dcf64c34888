"""Draw images for the generated data set ``shapes``: overlapping objects on textured grounds."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nbseg.datasets.shape_outlines import CLASSES, random_outline

SUPERSAMPLING = 4  # sub-pixels per pixel and axis when coverage is measured
SUBPIXEL_BITS = 4  # OpenCV takes polygon points as fixed-point numbers with these binary digits
OBJECTS_PER_IMAGE = (3, 8)
RELATIVE_DIAMETER = (0.12, 0.5)  # diameter of an object divided by the side of the image
MIN_VISIBLE = 0.5  # smallest visible fraction of an object; pixels outside the image are hidden
MIN_AREA = 20  # smallest number of visible pixels of an object
# An object's color has at least this Euclidean distance (channels 0 to 255) from 90% of the pixels
# around the object.
MIN_CONTRAST = 60
TRIES = 40  # largest number of objects tried for an image, and of colors tried for an object


@dataclass
class SceneObject:
    """Holds an object of an image.

    Attributes:
        label: number of the class: star 0, gear 1, crescent 2, cross 3, leaf 4.
        mask: visible pixels, (H, W) bool.
        whole_area: number of pixels of the whole object, including pixels that later objects cover
            and pixels outside the image.
    """

    label: int
    mask: npt.NDArray[Any]
    whole_area: int

    def stays_visible(self, mask: npt.NDArray[Any]) -> bool:
        """Return whether enough of the object remains if it loses all pixels outside ``mask``.

        At least 20 pixels must remain, and at least half of ``whole_area``.

        Args:
            mask: pixels that remain visible, (H, W) bool.
        """
        area = int(mask.sum())
        return area >= MIN_AREA and area >= MIN_VISIBLE * self.whole_area


def _smooth_noise(
    rng: np.random.Generator, height: int, width: int, cells: int
) -> npt.NDArray[Any]:
    """Return smooth noise, shape (height, width), float64, values in [0, 1].

    The points of a grid get random values, and the pixels between these points get bilinearly
    interpolated values. The grid divides each side of the image into ``cells`` equal parts.
    """
    grid = rng.random((cells + 1, cells + 1))
    rows, columns = (np.linspace(0, cells, n, endpoint=False) for n in (height, width))
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None], (columns - left)[None]
    upper = grid[top][:, left] * (1 - right) + grid[top][:, left + 1] * right
    lower = grid[top + 1][:, left] * (1 - right) + grid[top + 1][:, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _stripes(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[Any]:
    """Return stripes: a sine wave with a random direction and a period of 4 to 14 pixels.

    The values are in [0, 1]; the shape is (height, width).
    """
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 14)
    y, x = np.mgrid[:height, :width]
    phase = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period
    return np.asarray(0.5 + 0.5 * np.sin(phase + rng.uniform(0, 2 * np.pi)))


def _gradient(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[Any]:
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    ramp = x / width * np.cos(angle) + y / height * np.sin(angle)
    return np.asarray((ramp - ramp.min()) / max(np.ptp(ramp), 1e-9))


def _texture(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[Any]:
    """Return a random texture: brightness offsets around 0, shape (height, width, 1).

    The offsets are on the scale of pixel values from 0 to 255. The texture is striped, a gradient,
    smooth noise or plain, and always has random grain.
    """
    kind = rng.integers(4)
    if kind == 0:
        pattern = _stripes(rng, height, width)
    elif kind == 1:
        pattern = _gradient(rng, height, width)
    elif kind == 2:
        pattern = _smooth_noise(rng, height, width, cells=int(rng.integers(3, 9)))
    else:
        pattern = np.full((height, width), 0.5)
    grain = rng.normal(0, rng.uniform(2, 9), (height, width))
    return (rng.uniform(10, 40) * (pattern - 0.5) + grain)[..., None]


def _ground(rng: np.random.Generator, size: int) -> npt.NDArray[Any]:
    """Return a background of two blended colors, a texture and fine lines.

    The shape is (size, size, 3), float64; the values lie between 0 and 255.
    """
    first, second = rng.uniform(10, 110, 3), rng.normal(0, 25, 3)
    blend = _smooth_noise(rng, size, size, cells=int(rng.integers(2, 6)))[..., None]
    canvas = first + second * blend + _texture(rng, size, size)
    canvas = np.ascontiguousarray(np.clip(canvas, 0, 255), dtype=np.uint8)
    for _ in range(rng.integers(2, 6)):
        count = int(rng.integers(2, 5))
        line = rng.uniform(-0.1, 1.1, (count, 2)) * size * (1 << SUBPIXEL_BITS)
        color = np.clip(first + rng.normal(0, 35, 3), 0, 255)
        cv2.polylines(
            canvas, [line.astype(np.int32)], False, color.tolist(), 1, cv2.LINE_AA, SUBPIXEL_BITS
        )
    return canvas.astype(np.float64)


def _coverage(contours: list[npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], int, int]:
    """Compute the fraction of each pixel that a figure covers.

    Args:
        contours: contours of the figure, each (N, 2), points (x, y) in pixels of the image. A
            contour inside another contour is a hole.

    Returns:
        ``(coverage, left, top)``. ``coverage`` has the shape (h, w) and values in [0, 1]. Its first
        pixel is in column ``left`` and row ``top`` of the image. ``left`` and ``top`` may be
        negative, because a figure may extend beyond the image.
    """
    joined = np.concatenate(contours)
    left, top = (np.floor(joined.min(axis=0)).astype(int) - 1).tolist()
    right, bottom = (np.ceil(joined.max(axis=0)).astype(int) + 1).tolist()
    height, width = bottom - top, right - left
    fine = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    # In OpenCV, (0, 0) is the center of the first sub-pixel. In the contours, (0, 0) is the corner
    # of this sub-pixel, so subtract 0.5.
    scaled = [(c - [left, top]) * SUPERSAMPLING - 0.5 for c in contours]
    fixed = [np.rint(c * (1 << SUBPIXEL_BITS)).astype(np.int32) for c in scaled]
    cv2.fillPoly(fine, fixed, 1, shift=SUBPIXEL_BITS)
    blocks = fine.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING)
    return blocks.mean(axis=(1, 3)), left, top


def _contrasting_color(
    rng: np.random.Generator, around: npt.NDArray[Any]
) -> npt.NDArray[Any] | None:
    """Return a random color (3,) that contrasts with the pixels ``around`` (N, 3).

    A color contrasts if at least 90% of the pixels have a Euclidean distance of at least 60 from
    the color, in values from 0 to 255. The result is None if 40 random colors do not contrast.
    """
    for _ in range(TRIES):
        color = rng.uniform(110, 255, 3)
        distances = np.sqrt(((around - color) ** 2).sum(axis=1))
        if np.quantile(distances, 0.1) >= MIN_CONTRAST:
            return color
    return None


def _center(rng: np.random.Generator, size: int, objects: list[SceneObject]) -> npt.NDArray[Any]:
    """Choose the center (x, y) of the next object, in pixels.

    The first object, and 80% of the other objects, can have their centers anywhere in the image
    except in its outer 5%. The centers of the remaining objects are on or near an earlier object,
    so that objects overlap.

    Args:
        rng: random generator.
        size: width and height of the image in pixels.
        objects: the objects that are already drawn.
    """
    if objects and rng.random() < 0.2:
        rows, columns = np.nonzero(objects[rng.integers(len(objects))].mask)
        pick = rng.integers(len(rows))
        return np.array([columns[pick], rows[pick]]) + rng.normal(0, 0.06 * size, 2)
    return rng.uniform(0.05, 0.95, 2) * size


def _add_object(
    rng: np.random.Generator, canvas: npt.NDArray[Any], objects: list[SceneObject]
) -> bool:
    """Try to draw one more random object on the canvas, and return whether it was drawn.

    If the object is drawn, it is added to ``objects``, and earlier objects lose the pixels that it
    covers. The object is not drawn in these cases:

    - Too few of its pixels would be visible.
    - Too few pixels of an earlier object would stay visible.
    - No color is found that contrasts with the surrounding pixels.
    """
    size = canvas.shape[0]
    label = int(rng.integers(len(CLASSES)))
    diameter = size * np.exp(rng.uniform(*np.log(RELATIVE_DIAMETER)))
    center = _center(rng, size, objects)
    contours = [c + center for c in random_outline(label, diameter, rng)]
    coverage, left, top = _coverage(contours)
    whole_area = int((coverage >= 0.5).sum())

    height, width = coverage.shape
    rows = slice(*np.clip([top, top + height], 0, size).tolist())
    columns = slice(*np.clip([left, left + width], 0, size).tolist())
    inside = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    mask = np.zeros((size, size), bool)
    mask[rows, columns] = coverage[inside] >= 0.5
    new = SceneObject(label, mask, whole_area)
    if not new.stays_visible(mask):
        return False
    if not all(o.stays_visible(o.mask & ~mask) for o in objects):
        return False
    window = canvas[rows, columns]
    color = _contrasting_color(rng, window.reshape(-1, 3))
    if color is None:
        return False

    # Do not darken the object's rim: the number of darkened pixels would reveal the class.
    shaded = color + _texture(rng, height, width)
    opacity = coverage[inside][..., None]
    canvas[rows, columns] = window * (1 - opacity) + np.clip(shaded[inside], 0, 255) * opacity
    for earlier in objects:
        earlier.mask &= ~mask
    objects.append(new)
    return True


def draw_scene(rng: np.random.Generator, size: int) -> tuple[npt.NDArray[Any], list[SceneObject]]:
    """Draw one image with up to eight objects.

    The number of objects, three to eight, is chosen at random. An object is rejected if too few
    pixels of this object or of an earlier object would be visible, or if no color contrasts with
    the pixels around the object. Then another object is tried. If 40 tries do not place all
    objects, the image has fewer objects than chosen.

    Colors and textures are chosen at random, independently of the class. A pixel belongs to the
    topmost object that covers at least half of the pixel, so the masks are disjoint.

    Args:
        rng: random generator.
        size: width and height of the image in pixels.

    Returns:
        The image, (size, size, 3) uint8 BGR, and its objects from back to front.
    """
    canvas = _ground(rng, size)
    objects: list[SceneObject] = []
    wanted = rng.integers(OBJECTS_PER_IMAGE[0], OBJECTS_PER_IMAGE[1] + 1)
    for _ in range(TRIES):
        if len(objects) == wanted:
            break
        _add_object(rng, canvas, objects)
    return np.rint(canvas).astype(np.uint8), objects
