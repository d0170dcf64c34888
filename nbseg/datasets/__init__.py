"""Provide data sets, splits and transforms; importing this package loads none of its modules.

``shapes`` and ``splits`` need only numpy and OpenCV. ``converters`` and ``check_coco`` need neither
torch nor MMDetection. Configs name ``nbseg.register`` in ``custom_imports``; ``nbseg.register``
imports ``bridge_kinds``, ``coco_instances``, ``image_folder``, ``loading``, ``random_transpose``,
``samplers`` and ``transforms``, which register their classes with MMDetection.
"""
