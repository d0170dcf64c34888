"""Import every module that registers a component of nbseg with MMDetection's registries.

Configs name this module in ``custom_imports`` (``configs/_base_/default_runtime.py``).
"""

import nbseg.datasets.bridge_kinds
import nbseg.datasets.coco_instances
import nbseg.datasets.image_folder
import nbseg.datasets.loading
import nbseg.datasets.random_transpose
import nbseg.datasets.samplers
import nbseg.datasets.transforms
import nbseg.engine.exact_resume
import nbseg.engine.non_finite_loss
import nbseg.engine.pseudo_label_loop
import nbseg.engine.training_checkpoints
import nbseg.engine.weights
import nbseg.evaluation.cityscapes_metric
import nbseg.evaluation.instance_metric
import nbseg.models.boundary_loss
import nbseg.models.boundary_mask_head
import nbseg.models.boundary_preserving_loss
import nbseg.models.distance_to_boundary_loss
import nbseg.models.ignoring_assigner
import nbseg.models.mask_tta
import nbseg.models.noise_tolerant_mask_head
import nbseg.models.point_rend_roi_head
import nbseg.models.pretrained_weights
import nbseg.models.refine_mask_head
import nbseg.models.refine_mask_roi_head
import nbseg.models.rle_mask_head
import nbseg.models.softmax_focal_loss
import nbseg.models.wide_input
import nbseg.semi.cross_consistency
import nbseg.semi.mirror_consistency
import nbseg.semi.online_teacher
import nbseg.semi.online_teacher_hook
import nbseg.semi.pseudo_label_student  # noqa: F401
