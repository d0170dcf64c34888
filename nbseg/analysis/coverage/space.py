"""Measure the distances between images, and link the images by a minimum spanning tree."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

COMPONENTS = 10  # principal components of the features


def distances_of(features: Floats) -> Floats:
    """Return the distances between all images, by the principal components of their features.

    Args:
        features: features of N images, shape (N, D).

    Returns:
        Euclidean distances, shape (N, N). Each image's features are standardized and scaled to
        length 1, so distances are at most 2.
    """
    points = _principal_components(features)
    squares = (points**2).sum(1)
    result: Floats = np.sqrt(
        np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0)
    )
    return result


def _principal_components(features: Floats) -> Floats:
    """Return the first 10 principal components of N images, shape (N, 10).

    If N is below 10, the result has N columns.

    First, each feature is standardized over all images, and the features of each image are scaled
    to unit length. With all components, two photographs would be as far apart as a photograph and a
    microscope image. With only 10 components, images of one kind are close together.
    """
    features = features.astype(np.float64)
    centered = features - features.mean(0)
    spread = centered.std(0)
    # Leave out features that are constant except for rounding errors: they distinguish no images.
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

    Args:
        distances: distances between all images, shape (N, N).

    Returns:
        Three arrays of shape (N,): the index of each image's parent, the length of the link to the
        parent, and all image indices in an order in which each parent precedes its children. Image
        0 is the root. Its parent is given as 0, and the length of its link has no meaning.
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
