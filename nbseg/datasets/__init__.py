"""Data sets, splits and transforms; importing this package loads none of its modules.

``shapes``, ``splits`` and ``coco_rle`` need numpy and OpenCV only; ``converters`` and
``check_coco`` neither torch nor MMDetection. ``image_folder``, ``loading``
and ``transforms`` register themselves with MMDetection when a config's ``custom_imports`` names
them.
"""
