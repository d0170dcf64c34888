"""Store masks as tight crops, and measure distances to a mask's contour."""

from nbseg.structures.cropped_masks import CroppedMasks
from nbseg.structures.mask_distance import signed_distance

__all__ = ["CroppedMasks", "signed_distance"]
