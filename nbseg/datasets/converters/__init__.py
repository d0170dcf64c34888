"""Converts downloaded data sets to COCO jsons; importing this package loads no module.

The converters need numpy, OpenCV, Pillow, pycocotools and rich, but not torch or MMDetection.
"""
