"""This package holds data sets, splits and transforms; importing the package loads no module.

``shapes``, ``splits`` and ``coco_rle`` need only numpy and OpenCV. ``converters`` and
``check_coco`` need neither torch nor MMDetection. Configs name ``nbseg.register`` in
``custom_imports``; it registers ``image_folder``, ``loading``, ``samplers`` and ``transforms`` with
MMDetection.
"""
