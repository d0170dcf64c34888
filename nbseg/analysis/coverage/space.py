"""Measure the distances between images, and link the images by a minimum spanning tree."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

COMPONENTS = 10  # principal components of the features


def distances_of(features: Floats) -> Floats:
    """Return the distances between all images in the space of their principal components.

    Args:
        features: features of N images, shape (N, D).

    Returns:
        Euclidean distances, shape (N, N). Features are standardized and scaled to length 1, so
        distances are at most 2.
    """
    points = _principal_components(features)
    squares = (points**2).sum(1)
    result: Floats = np.sqrt(
        np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0)
    )
    return result


def _principal_components(features: Floats) -> Floats:
    """Standardize the features, give each image unit length, and keep the principal components.

    In a space of few dimensions, the images of a kind are close to each other. In the space of all
    features, two photographs are as far apart as a photograph and a microscope image.
    """
    features = features.astype(np.float64)
    centered = features - features.mean(0)
    spread = centered.std(0)
    # A feature that is constant except for rounding says nothing.
    informative = spread > 1e-6 * (1e-12 + np.abs(features).max(0))
    standardized = centered[:, informative] / spread[informative]
    length = np.linalg.norm(standardized, axis=1, keepdims=True)
    units = standardized / np.maximum(length, 1e-12)
    units -= units.mean(0)
    variances, directions = np.linalg.eigh(units @ units.T)
    strongest = slice(-1, -COMPONENTS - 1, -1)
    result: Floats = directions[:, strongest] * np.sqrt(np.maximum(variances[strongest], 0))
    return result


def spanning_tree(distances: Floats) -> tuple[Ints, Floats, Ints]:
    """Return the minimum spanning tree of all images, by Prim's algorithm.

    Returns:
        The parent of each image, the length of the link to the parent, and the images in an order
        in which parents precede their children; each of shape (N,). The first image is the root.
    """
    count = len(distances)
    parents = np.zeros(count, np.int64)
    lengths = distances[0].copy()
    order = np.zeros(count, np.int64)
    outside = np.ones(count, bool)
    outside[0] = False
    for step in range(1, count):
        image = int(np.where(outside, lengths, np.inf).argmin())
        order[step] = image
        outside[image] = False
        closer = outside & (distances[image] < lengths)
        parents[closer] = image
        lengths[closer] = distances[image, closer]
    return parents, lengths, order
