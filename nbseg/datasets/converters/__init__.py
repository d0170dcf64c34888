"""Convert downloaded data sets to COCO jsons; importing this package loads none of its modules.

The converters need numpy, OpenCV, Pillow, pycocotools and rich, but not torch or MMDetection.
"""
