"""Choose the unlabeled images to label, the most useful first.

The first picks are the most typical images of the kinds that no labeled image shows. Each further
pick is the image that most reduces the distances of the other unlabeled images to their nearest
labeled or picked images (greedy facility location). The distance of the picked image itself does
not count. Therefore, an image that resembles no other image is not preferred.
"""

from dataclasses import dataclass

import numpy as np

from nbseg.analysis.coverage.rule import QUANTILE, missing_kinds
from nbseg.analysis.coverage.space import Floats, distances_of, spanning_tree


@dataclass(frozen=True)
class Pick:
    """Describes why an unlabeled image was picked.

    Attributes:
        image: index of the unlabeled image.
        kind: number of unlabeled images of this image's kind, if the image was picked because no
            labeled image shows this kind; otherwise 0.
        neighbors: number of other unlabeled images that are nearer to this image than to any
            labeled image or earlier pick.
        nearest: index of the nearest labeled image; None if no image is labeled.
        distance: distance to the nearest labeled image, as computed by ``distances_of``; None if no
            image is labeled.
        uncertainty: how unsure a model is about this image, at least 0; None without a model.
    """

    image: int
    kind: int
    neighbors: int
    nearest: int | None
    distance: float | None
    uncertainty: float | None


def pick_images(
    labeled: Floats, unlabeled: Floats, count: int, uncertainty: Floats | None = None
) -> list[Pick]:
    """Pick the unlabeled images to label.

    First, the most typical image of each kind that no labeled image shows is picked, the largest
    kind first. Then the image with the highest score is picked repeatedly, until there are
    ``count`` picks. Each other unlabeled image has a distance to its nearest labeled or picked
    image. The score of an image is the amount by which picking it would reduce the sum of these
    distances. If ``uncertainty`` is given, the score is multiplied by the image's uncertainty.

    The choice by score skips images whose distance to an earlier pick is less than the 90% quantile
    of the link lengths in the minimum spanning tree of all images. If only such images are left,
    they are picked, too.

    Args:
        labeled: features of the labeled images, shape (L, D); L may be 0.
        unlabeled: features of the unlabeled images, shape (U, D).
        count: number of picks.
        uncertainty: how unsure a model is about each unlabeled image, at least 0, shape (U,); None
            ranks without a model.

    Returns:
        The picks, the most useful first.

    Raises:
        ValueError: ``count`` is below 1 or above U.
    """
    if not 1 <= count <= len(unlabeled):
        raise ValueError(
            f"cannot pick {count} of {len(unlabeled)} unlabeled images; choose a count from 1 to "
            f"{len(unlabeled)}"
        )
    labels = len(labeled)
    distances = distances_of(np.concatenate([labeled, unlabeled]) if labels else unlabeled)
    between, to_labeled = distances[labels:, labels:], distances[labels:, :labels]
    _, links, _ = spanning_tree(distances)
    # The first image is the root and has no link.
    close = float(np.quantile(links[1:], QUANTILE)) if len(links) > 1 else 0.0
    # Distance to the nearest labeled or picked image; if no image is labeled, it starts as the
    # largest of all distances.
    way = to_labeled.min(1, initial=float(distances.max()))
    kinds = sorted(missing_kinds(distances, labels), key=len, reverse=True)
    unpicked = np.ones(len(unlabeled), bool)
    apart = unpicked.copy()
    picks: list[Pick] = []
    for step in range(count):
        kind = kinds[step] - labels if step < len(kinds) else None
        if kind is not None:
            image = int(kind[between[np.ix_(kind, kind)].sum(0).argmin()])
        else:
            gain = np.maximum(way - between, 0).sum(1) - way
            score = gain if uncertainty is None else gain * uncertainty
            left = unpicked & apart if (unpicked & apart).any() else unpicked
            image = int(np.where(left, score, -np.inf).argmax())
        nearest = int(to_labeled[image].argmin()) if labels else None
        picks.append(
            Pick(
                image,
                0 if kind is None else len(kind),
                int(np.delete(between[image] < way, image).sum()),
                nearest,
                None if nearest is None else float(to_labeled[image, nearest]),
                None if uncertainty is None else float(uncertainty[image]),
            )
        )
        unpicked[image] = False
        apart &= between[image] >= close
        way = np.minimum(way, between[image])
    return picks
