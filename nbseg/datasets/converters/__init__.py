"""Official data sets, as they are downloaded, to COCO jsons; importing this loads no module.

They need numpy, OpenCV, Pillow, pycocotools and rich, but neither torch nor MMDetection.
"""
