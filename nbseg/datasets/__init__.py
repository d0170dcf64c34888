"""This package holds data sets, splits and transforms; importing it loads none of its modules.

``shapes``, ``splits`` and ``coco_rle`` need only numpy and OpenCV; ``converters`` and
``check_coco`` need neither torch nor MMDetection. ``nbseg.register``, which configs name in
``custom_imports``, registers ``image_folder``, ``loading``, ``samplers`` and ``transforms`` with
MMDetection.
"""
