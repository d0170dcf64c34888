"""Provide ``nbseg._native.paste_rle``, which pastes soft masks and encodes them as COCO RLEs."""

from nbseg._native import paste_rle

__all__ = ["paste_rle"]
