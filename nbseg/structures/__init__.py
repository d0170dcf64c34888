from nbseg.structures.cropped_masks import CroppedMasks

__all__ = ["CroppedMasks"]
