"""Check the export: its graph and metadata, its errors, and the files that it leaves."""

import json
import re
import runpy
import sys

import cv2
import numpy as np
import onnx
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from onnx import TensorProto, helper
from small_detectors import CLASSES, decided_detector, pictures, predict, small_config

import nbseg
from nbseg.deploy import export as export_module
from nbseg.deploy.export import check_standard, export_checkpoint
from nbseg.deploy.export_checks import check_exportable, resize_rule
from nbseg.deploy.model_info import ModelInfo
from nbseg.deploy.preprocessing import ResizeRule
from nbseg.deploy.runtime import Segmenter

PLAIN_HEAD = {"type": "FCNMaskHead"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_rcnn", "cascade"])
def test_the_graph_is_standard_and_of_any_size(name, request):
    model = onnx.load(request.getfixturevalue(name).onnx)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    (images,) = model.graph.input
    assert images.type.tensor_type.elem_type == TensorProto.UINT8
    dims = images.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 3, "height", "width"]
    shapes = {
        output.name: [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim]
        for output in model.graph.output
    }
    assert shapes == {
        "boxes": ["batch", 12, 4],
        "scores": ["batch", 12],
        "labels": ["batch", 12],
        "masks": ["batch", 12, 28, 28],
        "counts": ["batch"],
    }


def test_the_metadata_describe_the_model(mask_rcnn):
    metadata = {entry.key: entry.value for entry in onnx.load(mask_rcnn.onnx).metadata_props}
    info = ModelInfo.from_metadata(metadata)
    assert info == mask_rcnn.info
    assert info == ModelInfo(
        classes=CLASSES,
        resize=ResizeRule(scale=(160, 112), keep_ratio=True),
        mask_threshold=0.5,
        score_threshold=0.3,
        max_detections=12,
        nbseg_version=nbseg.__version__,
        config=mask_rcnn.config.pretty_text,
    )
    assert json.loads(metadata["classes"]) == list(CLASSES)
    assert Config.fromstring(info.config, ".py").model == mask_rcnn.config.model


@pytest.mark.parametrize("place", ["subgraph", "function"])
def test_a_foreign_operator_is_found_wherever_it_hides(place):
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    foreign = helper.make_node("Paste", [], ["y"], domain="nbseg")
    branch = helper.make_graph([foreign], "branch", [], [value])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    x = helper.make_tensor_value_info("x", TensorProto.BOOL, [1])
    functions = []
    if place == "function":
        opsets = [helper.make_opsetid("", 18)]
        functions = [helper.make_function("local", "F", [], ["y"], [foreign], opsets)]
        node = helper.make_node("F", [], ["y"], domain="local")
    graph = helper.make_graph([node], "graph", [x], [value])
    with pytest.raises(RuntimeError, match="nbseg::Paste"):
        check_standard(helper.make_model(graph, functions=functions))


def test_another_models_checkpoint_is_refused_by_name(mask_rcnn, tmp_path):
    """The student's checkpoint does not fit the teacher's config."""
    teacher = small_config("mask-rcnn_r50_fpn", PLAIN_HEAD)
    with pytest.raises(ValueError, match=r"not a checkpoint.*roi_head\.mask_head.*folder"):
        export_checkpoint(teacher, mask_rcnn.checkpoint, tmp_path / "model.onnx")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none\.pth"):
        export_checkpoint(teacher, tmp_path / "none.pth", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_old_file(mask_rcnn, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("disk full")

    out = tmp_path / "model.onnx"
    out.write_bytes(b"old")
    monkeypatch.setattr(export_module.onnx, "save", fail)
    monkeypatch.setattr(export_module, "trace", lambda *_: onnx.load(mask_rcnn.onnx))
    with pytest.raises(RuntimeError, match="disk full"):
        export_checkpoint(mask_rcnn.config, mask_rcnn.checkpoint, out)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.model.test_cfg.rcnn.nms.update(type="soft_nms"),
            r"model\.test_cfg\.rcnn\.nms must be dict\(type='nms'.*soft_nms",
        ),
        (
            lambda c: c.model.test_cfg.rpn.update(nms_pre=-1),
            r"model\.test_cfg\.rpn\.nms_pre must be a positive number, found -1",
        ),
        (
            lambda c: c.model.rpn_head.__setitem__(
                "anchor_generator", {"type": "MlvlPointGenerator", "strides": [4, 8]}
            ),
            "anchor generator must be AnchorGenerator or a subclass that places anchors in the "
            "same way, found MlvlPoint",
        ),
        (
            lambda c: c.model.roi_head.update(type="DoubleHeadRoIHead", reg_roi_scale_factor=1.3),
            "RoI head must be StandardRoIHead or CascadeRoIHead, found DoubleHeadRoIHead",
        ),
        (
            lambda c: (
                c.model.roi_head.bbox_roi_extractor.roi_layer.update(type="RoIPool")
                or c.model.roi_head.bbox_roi_extractor.roi_layer.pop("sampling_ratio")
            ),
            r"RoI layer must be RoIAlign\(pool_mode='avg'\), found RoIPool",
        ),
        (
            lambda c: (
                c.model.roi_head.bbox_head.bbox_coder.update(type="TBLRBBoxCoder")
                or [
                    c.model.roi_head.bbox_head.bbox_coder.pop(k)
                    for k in ("target_means", "target_stds")
                ]
            ),
            "box coder must be DeltaXYWHBBoxCoder, found TBLRBBoxCoder",
        ),
        (
            lambda c: c.model.roi_head.update(mask_head=None, mask_roi_extractor=None),
            "CascadeRoIHead with a mask head, found StandardRoIHead without a mask head",
        ),
    ],
)
def test_a_model_that_predicts_otherwise_is_refused(change, message):
    config = small_config("mask-rcnn_r50_fpn", PLAIN_HEAD)
    change(config)
    with pytest.raises(ValueError, match=message):
        check_exportable(MODELS.build(config.model))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.insert(2, {"type": "Pad", "size_divisor": 32}), "found 'Pad' as step 3"),
        (lambda p: p.insert(2, {"type": "Resize", "scale": 9}), "found 'Resize' as step 3"),
        (lambda p: p[1].update(backend="pillow"), "backend of Resize must be 'cv2'"),
        (lambda p: p[0].update(color_type="grayscale"), "color_type of LoadImageFromFile"),
        (
            lambda p: p[1].update(interpolation="best"),
            "interpolation .*found 'best'",
        ),
    ],
)
def test_a_pipeline_that_the_runtime_cannot_repeat_is_refused(change, message):
    config = small_config("mask-rcnn_r50_fpn", PLAIN_HEAD)
    change(config.test_dataloader.dataset.pipeline)
    with pytest.raises(ValueError, match=message):
        resize_rule(config)


def test_the_classes_must_be_named(mask_rcnn, tmp_path):
    config = Config(mask_rcnn.config.to_dict())
    config.test_dataloader.dataset.metainfo.classes = ("disc",)
    with pytest.raises(
        ValueError,
        match=r"each of the model's 3 classes, found 1 in .*; list the names .* in test_dataloader",
    ):
        export_checkpoint(config, mask_rcnn.checkpoint, tmp_path / "model.onnx")


def test_the_tool_refuses_in_one_line(mask_rcnn, repository, tmp_path, monkeypatch):
    config = tmp_path / "config.py"
    small_config("mask-rcnn_r50_fpn", PLAIN_HEAD).dump(config)
    tool = repository / "tools" / "export_onnx.py"
    arguments = [tool, config, mask_rcnn.checkpoint, "--out", tmp_path / "model.onnx"]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    with pytest.raises(SystemExit, match=r"export_onnx\.py: .* is not a checkpoint of the config"):
        runpy.run_path(str(tool), run_name="__main__")


@pytest.mark.slow
def test_options_of_the_tool(repository, tmp_path, monkeypatch, capsys):
    """Half precision, fewer detections and another threshold keep the detections the same."""
    head = {
        "type": "RLEMaskHead",
        "class_agnostic": True,
        "norm_cfg": {"type": "GN", "num_groups": 2},
    }
    config = small_config("mask-rcnn_r50_fpn", head)
    detector = decided_detector(config)
    config.dump(tmp_path / "config.py")
    torch.save({"state_dict": detector.state_dict(), "meta": {}}, tmp_path / "model.pth")
    out = tmp_path / "model.onnx"
    tool = repository / "tools" / "export_onnx.py"
    arguments = [tool, tmp_path / "config.py", tmp_path / "model.pth", "--out", out, "--fp16"]
    arguments += ["--max-detections", 5, "--score", 0.6]
    cv2.imwrite(str(tmp_path / "compared.png"), pictures((112, 160))[0])
    arguments += ["--compare", tmp_path / "compared.png"]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    runpy.run_path(str(tool), run_name="__main__")
    printed = capsys.readouterr().out
    assert "3 classes, at most 5 detections per image with scores above 0.6" in printed
    assert re.search(
        r"\d+ of \d+ detections \(\d+\.\d\d %\) match between PyTorch and ONNX in 1 images", printed
    )

    kernels = [w for w in onnx.load(out).graph.initializer if len(w.dims) == 4]
    assert len(kernels) == sum(weight.dim() == 4 for weight in detector.parameters()) > 15
    assert {kernel.data_type for kernel in kernels} == {TensorProto.FLOAT16}
    segmenter = Segmenter(out, providers=["CPUExecutionProvider"], threads=1)
    images = pictures((112, 160), (201, 90), (333, 517))
    for image, expected in zip(images, predict(detector, config, images), strict=True):
        best = [score for score in expected.scores.tolist() if score > 0.6][:5]
        detections = segmenter(image)
        np.testing.assert_allclose(detections.scores, best, atol=0.03)
