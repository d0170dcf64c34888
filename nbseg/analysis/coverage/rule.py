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

# A gap is at least this many times as long as the links on both of its sides. Of those links, the
# longest tenth does not count: it leads to images that resemble no other.
GAP = 1.2
QUANTILE = 0.9
FEWEST, SMALLEST_SHARE = 3, 0.02  # least number of images in a kind, and least share of all images


@dataclass(frozen=True)
class Coverage:
    """Tells which unlabeled images are of kinds that no labeled image shows.

    Attributes:
        kinds: the missing kinds, the largest first. A kind is a tuple of indices of unlabeled
            images. The first two images represent the kind best and should be labeled. The other
            images are sorted by their distance to the nearest labeled image, the farthest first.
        nearest: for each unlabeled image, the index of the nearest labeled image; int64, shape
            (U,).
        distance: for each unlabeled image, the distance between its features and those of the
            nearest labeled image, shape (U,). Features are standardized and scaled to length 1, so
            distances are at most 2.
    """

    kinds: tuple[tuple[int, ...], ...]
    nearest: Ints
    distance: Floats

    @property
    def uncovered(self) -> tuple[int, ...]:
        """Return the sorted indices of the unlabeled images of all missing kinds."""
        return tuple(sorted(index for kind in self.kinds for index in kind))


def coverage(labeled: Floats, unlabeled: Floats) -> Coverage:
    """Find the kinds of unlabeled images that no labeled image shows.

    Args:
        labeled: features of the labeled images, shape (L, D), L and D at least 1.
        unlabeled: features of the unlabeled images, shape (U, D).

    Raises:
        ValueError: the shapes do not fit, or there is no labeled image or no feature.
    """
    if labeled.ndim != 2 or unlabeled.ndim != 2 or labeled.shape[1] != unlabeled.shape[1]:
        raise ValueError(
            "the features must have the shapes (L, D) and (U, D), found "
            f"{labeled.shape} and {unlabeled.shape}"
        )
    if not labeled.size:
        raise ValueError(
            "the features of labeled images must have the shape (L, D) with L and D at least 1, "
            f"found {labeled.shape}"
        )
    count = len(labeled)
    distances = distances_of(np.concatenate([labeled, unlabeled]))
    to_labeled = distances[count:, :count]
    kinds = [_sorted_kind(members, distances, count) for members in missing_kinds(distances, count)]
    kinds.sort(key=len, reverse=True)
    return Coverage(tuple(kinds), to_labeled.argmin(1), to_labeled.min(1))


def missing_kinds(distances: Floats, labeled: int) -> list[Ints]:
    """Return the missing kinds, each as an array of image indices.

    If another gap splits the group behind a gap, each part is a kind of its own. If no image is
    labeled, all kinds are missing.

    Args:
        distances: distances between all images, shape (N, N).
        labeled: number of labeled images, which are the first ones; may be 0.
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
    # A part may be an image that resembles no other, on the way to the group behind it.
    return [members for members in parts if len(members) >= fewest]


def _subtree(parents: Ints, order: Ints, root: int) -> npt.NDArray[np.bool_]:
    """Return which of the N images are ``root`` or below it in the spanning tree."""
    below = np.zeros(len(parents), bool)
    below[root] = True
    for image in order[1:]:
        below[image] |= below[parents[image]]
    return below


def _sorted_kind(members: Ints, distances: Floats, labeled: int) -> tuple[int, ...]:
    """Return a kind as indices of unlabeled images; the two images to label come first."""
    inside = distances[np.ix_(members, members)]
    first = int(inside.sum(0).argmin())
    # The second image shortens the way of the other images to their nearest chosen one the most.
    second = int(np.minimum(inside[first][:, None], inside).sum(0).argmin())
    chosen = list(dict.fromkeys((first, second)))
    farthest = np.argsort(-distances[members, :labeled].min(1), kind="stable").tolist()
    places = chosen + [place for place in farthest if place not in chosen]
    return tuple(int(members[place]) - labeled for place in places)
