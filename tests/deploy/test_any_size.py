"""Check that a detector is refused if its ONNX model would be right for some sizes only."""

import copy

import onnx
import pytest
import torch
from mmdet.registry import MODELS
from small_detectors import small_config

from nbseg.deploy.features import check_features, cut_features, feature_nodes
from nbseg.deploy.trace import trace
from nbseg.deploy.traced_detector import TracedDetector

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def traced(backbone=None, neck=None) -> TracedDetector:
    config = small_config("mask-rcnn_r50_fpn", {"type": "FCNMaskHead"})
    if backbone:
        config.model.backbone = backbone
    if neck:
        config.model.neck = neck
    torch.manual_seed(0)
    return TracedDetector(MODELS.build(config.model).eval())


def test_features_of_an_exported_detector(mask_rcnn):
    """The outputs of the cut are the two levels of the pyramid; a changed weight is noticed."""
    detector = TracedDetector(copy.deepcopy(mask_rcnn.detector))
    model = onnx.load(mask_rcnn.onnx)
    cut = cut_features(model, feature_nodes(model))
    shapes = [output.type.tensor_type.shape.dim for output in cut.graph.output]
    assert [(dims[0].dim_param, dims[1].dim_value) for dims in shapes] == [("batch", 16)] * 2
    assert {node.op_type for node in cut.graph.node} >= {"Conv", "Relu", "MaxPool"}
    check_features(model, detector)
    with torch.no_grad():
        detector.detector.neck.fpn_convs[1].conv.weight[3, 2, 0, 0] += 1
    with pytest.raises(ValueError, match=r"computes other features than PyTorch for 1 images"):
        check_features(model, detector)


def test_a_backbone_for_one_batch_size_is_refused():
    """MMDetection's Swin Transformer computes the batch size as a Python integer."""
    swin = {
        "type": "SwinTransformer",
        "embed_dims": 8,
        "depths": (2, 2, 1, 1),
        "num_heads": (1, 1, 1, 1),
        "out_indices": (0, 1),
    }
    with pytest.raises(
        ValueError, match="with the backbone SwinTransformer would not work for every number"
    ):
        trace(traced(swin), half=False)


def test_a_neck_for_one_image_size_is_refused():
    """BFP of Libra R-CNN resizes all levels to the size of one level, as Python integers."""
    neck = [
        {"type": "FPN", "in_channels": [8, 16], "out_channels": 16, "num_outs": 2},
        {"type": "BFP", "in_channels": 16, "num_levels": 2, "refine_level": 1},
    ]
    with pytest.raises(
        ValueError, match=r"with the neck FPN \+ BFP would not work for every image size"
    ):
        trace(traced(neck=neck), half=False)
