"""This package converts downloaded data sets to COCO jsons; importing the package loads no module.

The converters need numpy, OpenCV, Pillow, pycocotools and rich, but not torch or MMDetection.
"""
