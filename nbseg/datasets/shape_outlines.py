"""Make outlines of objects for ``shapes``, a generated data set with five classes of figures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

# Points (x, y) of a closed outline, (N, 2) float64. The figures that the functions in _BUILDERS
# return are about as large as the unit circle.
Outline = npt.NDArray[Any]


def _polar(radii: npt.NDArray[Any], angles: npt.NDArray[Any]) -> Outline:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _star(rng: np.random.Generator) -> list[Outline]:
    """Return the outline of a star with five to seven pointed rays of uneven length."""
    rays = int(rng.integers(5, 8))
    angles = np.arange(2 * rays) * np.pi / rays + rng.uniform(-0.25, 0.25, 2 * rays) * np.pi / rays
    radii = rng.uniform(0.85, 1.15, 2 * rays)
    radii[1::2] *= rng.uniform(0.36, 0.46)
    return [_polar(radii, angles)]


def _gear(rng: np.random.Generator) -> list[Outline]:
    """Return the outlines of a disc with six to ten round lobes, and of a hole near its middle."""
    lobes = int(rng.integers(6, 11))
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    wave = np.cos(lobes * angles + rng.uniform(0.2, 0.5) * np.sin(angles + rng.uniform(0, 7)))
    hole = _polar(np.full(60, rng.uniform(0.32, 0.45)), angles[::2])
    return [_polar(0.88 + 0.12 * wave, angles), hole + rng.uniform(-0.12, 0.12, 2)]


def _crescent(rng: np.random.Generator) -> list[Outline]:
    """Return the outline of an arc that is thickest in the middle and pointed at both ends."""
    half_span = rng.uniform(0.55, 0.75) * np.pi
    along = np.linspace(-1, 1, 50)
    half_width = rng.uniform(0.2, 0.3) * np.sqrt(np.maximum(0, 1 - along**2))
    angles = along * half_span
    outer = _polar(0.8 + half_width, angles)
    inner = _polar(0.8 - half_width, angles)
    return [np.concatenate([outer, inner[::-1]])]


def _cross(rng: np.random.Generator) -> list[Outline]:
    """Return the outline of a cross with four straight arms of uneven length and width."""
    points = []
    widths = rng.uniform(0.18, 0.32, 4)
    for arm in range(4):
        angle = arm * np.pi / 2 + rng.uniform(-0.15, 0.15)
        forward = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-forward[1], forward[0]])
        tip = forward * rng.uniform(0.75, 1.15)
        half = widths[arm]
        corner = forward * widths[arm - 3] + side * half
        points += [tip - side * half * 0.95, tip + side * half * 0.95, corner]
    return [np.array(points)]


def _leaf(rng: np.random.Generator) -> list[Outline]:
    """Return the outline of a slightly bent leaf with a saw-toothed edge."""
    along = np.linspace(-1, 1, 60)
    half_width = rng.uniform(0.42, 0.6) * (1 - along**2) ** rng.uniform(0.8, 1.1)
    teeth = int(rng.integers(6, 10))
    saw = 1 + rng.uniform(0.12, 0.22) * ((along * teeth / 2) % 1 - 0.5)
    spine = rng.uniform(-0.15, 0.15) * (1 - along**2)
    upper = np.stack([along * 1.15, spine + half_width * saw], axis=1)
    lower = np.stack([along * 1.15, spine - half_width * saw], axis=1)
    return [np.concatenate([upper, lower[::-1]])]


_BUILDERS: dict[str, Callable[[np.random.Generator], list[Outline]]] = {
    "star": _star,
    "gear": _gear,
    "crescent": _crescent,
    "cross": _cross,
    "leaf": _leaf,
}
CLASSES = tuple(_BUILDERS)


def _subdivide(outline: Outline, step: float) -> Outline:
    """Return the outline with more points on its edges: neighbors are at most ``step`` apart."""
    following = np.roll(outline, -1, axis=0)
    pieces = []
    for start, end in zip(outline, following, strict=True):
        count = max(1, int(np.ceil(np.hypot(*(end - start)) / step)))
        pieces.append(start + (end - start) * (np.arange(count) / count)[:, None])
    return np.concatenate(pieces)


def _warp(points: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return the points, shifted by random waves.

    Long waves bend the figure, and short waves roughen its edge.
    """
    moved = points.copy()
    for frequency, amplitude in [(2.5, 0.06), (5, 0.04), (11, 0.025), (18, 0.02), (27, 0.015)]:
        direction = rng.uniform(0, 2 * np.pi, 2)
        wave_vector = frequency * np.array([np.cos(direction[0]), np.sin(direction[0])])
        shift = amplitude * np.array([np.cos(direction[1]), np.sin(direction[1])])
        moved += np.sin(points @ wave_vector + rng.uniform(0, 2 * np.pi))[:, None] * shift
    return moved


def random_outline(label: int, diameter: float, rng: np.random.Generator) -> list[Outline]:
    """Return the contours of a random object of a class, centered on the origin.

    Fill the contours by the even-odd rule: a contour inside another contour is a hole. The figure
    is warped, mirrored at random and rotated by a random angle. It is also stretched along one axis
    by a factor of up to 1.2, and compressed along the other axis by the same factor.

    Args:
        label: number of the class: star 0, gear 1, crescent 2, cross 3, leaf 4.
        diameter: approximate diameter of the figure before stretching, in pixels.
        rng: random generator.

    Returns:
        One (N, 2) float64 array of points (x, y), in pixels, for each contour; N varies.
    """
    contours = [_subdivide(c, step=0.06) for c in _BUILDERS[CLASSES[label]](rng)]
    joined = _warp(np.concatenate(contours), rng)
    stretch = np.exp(rng.uniform(-0.18, 0.18) * np.array([1, -1]))
    mirror = np.array([1, rng.choice([-1, 1])])
    cosine, sine = np.cos(angle := rng.uniform(0, 2 * np.pi)), np.sin(angle)
    turned = (joined * mirror * stretch) @ np.array([[cosine, sine], [-sine, cosine]])
    ends = np.cumsum([len(c) for c in contours])[:-1]
    return np.split(turned * diameter / 2, ends)
