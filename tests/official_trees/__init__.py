"""Tiny data sets in exactly the layout and the formats of the official archives.

Objects are upright rectangles with bright colors of their class on a dark noisy ground, later
ones over earlier ones: numpy alone can paint them, and a detector can learn from them.
"""

from official_trees.bdd100k import write_bdd100k
from official_trees.cityscapes import write_cityscapes
from official_trees.coco import write_coco

__all__ = ["write_bdd100k", "write_cityscapes", "write_coco"]
