"""Prepare and check data sets, and provide data sets, samplers and transforms for MMDetection.

Importing this package loads none of its modules. The modules ``shapes`` and ``splits`` need only
numpy and OpenCV. The package ``converters`` and the module ``check_coco`` need neither torch nor
MMDetection.

The modules ``bridge_kinds``, ``coco_instances``, ``image_folder``, ``loading``,
``random_transpose``, ``samplers`` and ``transforms`` register their classes with MMDetection. A
config imports all of them with ``custom_imports = dict(imports=["nbseg.register"])``.
"""
