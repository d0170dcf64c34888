"""Paste soft masks and encode them as COCO run lengths; the function is in ``nbseg._native``."""

from nbseg._native import paste_rle

__all__ = ["paste_rle"]
