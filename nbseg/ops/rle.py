"""Pasting of soft masks to COCO run lengths; the same function as in ``nbseg._native``."""

from nbseg._native import paste_rle

__all__ = ["paste_rle"]
