"""Decide which unlabeled images are of a kind that no labeled image shows.

All images are linked by the minimum spanning tree of the distances between their features. A link
is a gap if it is clearly longer than the links on both of its sides. A kind is missing if a gap
separates a group of unlabeled images from all labeled images.

Two cases are not reported: a group without labels that lies between labeled images, and a single
image that resembles no other image.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nbseg.analysis.coverage.space import Floats, Ints, distances_of, spanning_tree

# A link is a gap if it is longer than GAP times the QUANTILE (90%) of the link lengths on each
# side. The longest tenth is ignored: such links lead to images that resemble no other image.
GAP = 1.2
QUANTILE = 0.9
# A kind has at least FEWEST images, and at least the share SMALLEST_SHARE of all images.
FEWEST, SMALLEST_SHARE = 3, 0.02


@dataclass(frozen=True)
class Coverage:
    """Holds the kinds of image that no labeled image shows, and the nearest labeled images.

    Attributes:
        kinds: the kinds that no labeled image shows, the largest first. A kind is a tuple of
            indices of unlabeled images. The first two images represent the kind best and should be
            labeled. The other images are sorted by their distance to the nearest labeled image, the
            farthest first.
        nearest: for each unlabeled image, the index of the nearest labeled image; int64, shape
            (U,).
        distance: for each unlabeled image, the distance to the nearest labeled image as computed
            by ``distances_of``, from 0 to 2, shape (U,).
    """

    kinds: tuple[tuple[int, ...], ...]
    nearest: Ints
    distance: Floats

    @property
    def uncovered(self) -> tuple[int, ...]:
        """Return the sorted indices of the unlabeled images of all kinds in ``kinds``."""
        return tuple(sorted(index for kind in self.kinds for index in kind))


def coverage(labeled: Floats, unlabeled: Floats) -> Coverage:
    """Find the kinds of unlabeled images that no labeled image shows.

    Args:
        labeled: features of the labeled images, shape (L, D), L and D at least 1.
        unlabeled: features of the unlabeled images, shape (U, D).

    Returns:
        These kinds, and the labeled image that is nearest to each unlabeled image.

    Raises:
        ValueError: the shapes are not (L, D) and (U, D), or L or D is 0.
    """
    if labeled.ndim != 2 or unlabeled.ndim != 2 or labeled.shape[1] != unlabeled.shape[1]:
        raise ValueError(
            "the features of the labeled and the unlabeled images must have the shapes (L, D) and "
            f"(U, D) with the same D, found {labeled.shape} and {unlabeled.shape}; compute both "
            "with the same backbone"
        )
    if not labeled.size:
        raise ValueError(
            "the features of labeled images must have the shape (L, D) with L and D at least 1, "
            f"found {labeled.shape}; give at least one labeled image and one feature"
        )
    count = len(labeled)
    distances = distances_of(np.concatenate([labeled, unlabeled]))
    to_labeled = distances[count:, :count]
    kinds = [_sorted_kind(members, distances, count) for members in missing_kinds(distances, count)]
    kinds.sort(key=len, reverse=True)
    return Coverage(tuple(kinds), to_labeled.argmin(1), to_labeled.min(1))


def missing_kinds(distances: Floats, labeled: int) -> list[Ints]:
    """Return the kinds of image that no labeled image shows, each as an array of image indices.

    All images are linked by their minimum spanning tree. A gap is a link that is clearly longer
    than the links on both of its sides. A group of unlabeled images that a gap separates from all
    labeled images is a missing kind. If another gap divides the group, each part is a kind of its
    own. Groups of fewer than 3 images, or of less than 2% of all images, are left out. If no image
    is labeled, every kind is missing.

    Args:
        distances: distances between all images, shape (N, N).
        labeled: number of labeled images, 0 or more. The labeled images have the first indices in
            ``distances``.
    """
    parents, lengths, order = spanning_tree(distances)
    images = len(distances)
    fewest = max(FEWEST, SMALLEST_SHARE * images)
    groups = []
    # On each side of a gap, at most a tenth of the links are as long as the gap.
    longest = order[1:][np.argsort(-lengths[order[1:]], kind="stable")]
    for cut in longest[: round((1 - QUANTILE) * images) + 2]:
        beyond = _subtree(parents, order, cut)
        far = ~beyond if beyond[:labeled].any() else beyond
        if far[:labeled].any() or far.sum() < fewest:
            continue
        linked = order[(order != cut) & (order != order[0])]
        sides = [lengths[linked[beyond[linked] == side]] for side in (True, False)]
        typical = max(np.quantile(side, QUANTILE) if len(side) else 0.0 for side in sides)
        if lengths[cut] > GAP * typical:
            groups.append(far)
    if labeled == 0:
        groups.append(np.ones(images, bool))
    if not groups:
        return []
    membership, part = np.unique(np.stack(groups, 1), axis=0, return_inverse=True)
    parts = [np.flatnonzero(part.ravel() == number) for number in np.flatnonzero(membership.any(1))]
    # Leave out small parts, such as a single image between two gaps that resembles no other image.
    return [members for members in parts if len(members) >= fewest]


def _subtree(parents: Ints, order: Ints, root: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the N images, True for ``root`` and its descendants in the tree."""
    below = np.zeros(len(parents), bool)
    below[root] = True
    for image in order[1:]:
        below[image] |= below[parents[image]]
    return below


def _sorted_kind(members: Ints, distances: Floats, labeled: int) -> tuple[int, ...]:
    """Return a kind as indices of unlabeled images; the two images to label come first.

    The other images follow by their distance to the nearest labeled image, the farthest first.

    Args:
        members: indices of the kind's images in ``distances``.
        distances: distances between all images, shape (N, N), the labeled images first.
        labeled: number of labeled images.
    """
    inside = distances[np.ix_(members, members)]
    first = int(inside.sum(0).argmin())
    # Choose the second image so that the distances of all images of the kind to the nearer of the
    # two chosen images have the smallest sum.
    second = int(np.minimum(inside[first][:, None], inside).sum(0).argmin())
    chosen = list(dict.fromkeys((first, second)))
    farthest = np.argsort(-distances[members, :labeled].min(1), kind="stable").tolist()
    places = chosen + [place for place in farthest if place not in chosen]
    return tuple(int(members[place]) - labeled for place in places)
