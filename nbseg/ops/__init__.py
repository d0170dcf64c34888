"""Provide nbseg's compiled ops as Python functions.

Importing this package needs torch. Importing ``nbseg._native`` needs only NumPy.
"""

from nbseg.ops import _extension  # noqa: F401  (loads the library that defines the ops)
from nbseg.ops.bpm_mask_loss import bpm_mask_loss
from nbseg.ops.mask_targets import multires_mask_targets
from nbseg.ops.rle import paste_rle

__all__ = ["bpm_mask_loss", "multires_mask_targets", "paste_rle"]
