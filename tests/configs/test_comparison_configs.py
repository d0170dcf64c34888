"""The base configs of the models that the method is compared with, under the method's stages."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from nbseg.engine.stages import stage_config
from nbseg.models.boundary_mask_head import BoundaryMaskHead
from nbseg.models.distance_to_boundary_loss import DistanceToBoundaryLoss
from nbseg.models.mask_tta import MaskTTAModel
from nbseg.models.point_rend_roi_head import RLECoarseMaskHead
from nbseg.models.refine_mask_head import RefineMaskHead

pytestmark = pytest.mark.usefixtures("one_thread")

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "_base_"
HEADS = {
    "point-rend_r50_fpn": RLECoarseMaskHead,
    "bmask-rcnn_r50_fpn": BoundaryMaskHead,
    "refinemask_r50_fpn": RefineMaskHead,
}
LEAF = """
_base_ = [
    '{folder}/models/{model}.py',
    '{folder}/datasets/semi_coco_instance.py',
    '{folder}/schedules/iterations.py',
    '{folder}/tta.py',
    '{folder}/default_runtime.py',
]
classes = ['car', 'person']
num_classes = 2
percent = 5
max_per_img = 60
weak_pipeline = []
strong_pipeline = []
"""


@pytest.mark.parametrize("model", HEADS)
def test_student_teacher_and_pseudo_labels(model, tmp_path):
    leaf = tmp_path / "leaf.py"
    leaf.write_text(LEAF.replace("{folder}", str(FOLDER)).replace("{model}", model))
    config = Config.fromfile(leaf)
    init_default_scope("mmdet")
    plain = {stage: stage_config(config, stage, "run") for stage in ("student", "teacher")}
    assert plain["student"].model == plain["teacher"].model
    pseudo = stage_config(config, "predict", "run").model
    pseudo.module.backbone.init_cfg = None
    with torch.device("meta"):  # no weights: it is the structure that counts
        tta = MODELS.build(pseudo)
    assert isinstance(tta, MaskTTAModel)
    roi_head = tta.module.roi_head
    assert type(roi_head.mask_head) is HEADS[model]
    for head in (roi_head.bbox_head, roi_head.mask_head, getattr(roi_head, "point_head", None)):
        assert head is None or head.num_classes == 2
    assert roi_head.test_cfg.mask_format == "rle"
    assert roi_head.test_cfg.max_per_img == 60


def test_the_distance_map_is_an_option_on_the_command_line():
    config = Config.fromfile(FOLDER.parent / "shapes" / "demo.py")
    config.merge_from_dict({"mask_loss.type": "DistanceToBoundaryLoss"})
    init_default_scope("mmdet")
    losses = {
        stage: MODELS.build(stage_config(config, stage, "run").model).roi_head.mask_head.loss_mask
        for stage in ("student", "teacher")
    }
    assert isinstance(losses["student"], DistanceToBoundaryLoss)
    assert not isinstance(losses["teacher"], DistanceToBoundaryLoss)
