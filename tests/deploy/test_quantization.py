"""Check exported models with an int8 backbone and neck."""

import runpy
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from onnx.utils import Extractor
from small_detectors import pictures

from nbseg.deploy.export import export_checkpoint, save_onnx
from nbseg.deploy.inputs import pick_images
from nbseg.deploy.model_info import ModelInfo, Quantization
from nbseg.deploy.quantization import quantize_backbone_and_neck
from nbseg.deploy.runtime import Segmenter

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [(112, 160), (201, 90), (333, 517), (112, 160)]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Write a folder of images and other files."""
    folder = tmp_path_factory.mktemp("images")
    for index, picture in enumerate(pictures(*SIZES, *SIZES)):
        cv2.imwrite(str(folder / f"{index}.png"), picture)
    (folder / "clip.mp4").write_bytes(b"")
    (folder / "notes.txt").write_text("")
    return folder


@pytest.fixture(scope="module")
def quantized(mask_rcnn, images, tmp_path_factory):
    """Quantize the exported Mask R-CNN as the export does."""
    files = pick_images([str(images)], 6)
    model, quantization = quantize_backbone_and_neck(
        onnx.load(mask_rcnn.onnx), files, mask_rcnn.info.resize
    )
    info = replace(mask_rcnn.info, quantization=quantization)
    path = tmp_path_factory.mktemp("quantized") / "model.onnx"
    save_onnx(model, info, path)
    return SimpleNamespace(onnx=path, info=info, detector=mask_rcnn.detector)


def test_the_graph_is_standard_and_of_any_size(quantized):
    model = onnx.load(quantized.onnx)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}
    dims = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 3, "height", "width"]


def test_backbone_and_neck_are_int8_and_the_heads_are_not(quantized):
    graph = onnx.load(quantized.onnx).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    convolutions = {"int8": 0, "float": 0}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        maker = makers.get(node.input[1])
        if maker is None:
            assert "_head." in node.input[1]
            assert tensors[node.input[1]].data_type == TensorProto.FLOAT
            assert node.input[0] not in makers or not _dequantizes(makers[node.input[0]], tensors)
            convolutions["float"] += 1
            continue
        weight, scale = (tensors[name] for name in maker.input[:2])
        assert weight.name.startswith(("detector.backbone.", "detector.neck."))
        assert weight.data_type == TensorProto.INT8
        assert list(scale.dims) == [weight.dims[0]]
        zero_point = tensors[makers[node.input[0]].input[2]]
        assert zero_point.data_type == TensorProto.UINT8
        convolutions["int8"] += 1
    detector = quantized.detector
    expected = sum(
        isinstance(module, torch.nn.Conv2d)
        for part in (detector.backbone, detector.neck)
        for module in part.modules()
    )
    assert convolutions["int8"] == expected > 10
    assert convolutions["float"] > 5


def _dequantizes(node, tensors):
    """Return whether a tensor belongs to a head, not to a feature map."""
    return node.op_type == "DequantizeLinear" and node.input[0] in tensors


def test_features_are_close_to_pytorchs(quantized):
    """Features agree at every level, for images of different sizes, alone and in a batch."""
    model = onnx.load(quantized.onnx)
    levels = [node.input[0] for node in model.graph.node if node.op_type == "RoiAlign"]
    levels = list(dict.fromkeys(levels))
    cut = Extractor(model).extract_model(["images"], levels)
    session = onnxruntime.InferenceSession(
        cut.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    detector = quantized.detector
    for size, batch in (((64, 96), 1), ((160, 128), 2), ((224, 320), 1)):
        pixels = np.stack(pictures(*[size] * batch)).transpose(0, 3, 1, 2)
        inputs = {"inputs": list(torch.from_numpy(pixels)), "data_samples": None}
        with torch.no_grad():
            expected = detector.extract_feat(detector.data_preprocessor(inputs)["inputs"])
        found = session.run(None, {"images": np.ascontiguousarray(pixels)})
        assert len(found) == len(expected) == 2
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.shape == theirs.shape
            error = np.linalg.norm(ours - theirs.numpy()) / np.linalg.norm(theirs.numpy())
            # Of random weights: what lies beyond the mean of the extremes is cut off.
            assert error < 0.25


def test_the_runtime_runs_it(quantized):
    segmenter = Segmenter(quantized.onnx, providers=["CPUExecutionProvider"], threads=1)
    assert segmenter.info.quantization == Quantization("mean of minima and maxima", 6)
    assert segmenter.info == quantized.info
    results = segmenter.predict(pictures(*SIZES))
    assert sum(len(detections.scores) for detections in results) > 10
    assert [detections.rles[0]["size"] for detections in results] == [list(size) for size in SIZES]


def test_a_model_of_an_earlier_version_is_not_quantized(mask_rcnn):
    metadata = mask_rcnn.info.to_metadata()
    assert metadata.pop("quantization") == "null"
    assert ModelInfo.from_metadata(metadata).quantization is None


def test_images_are_picked_evenly_and_videos_left_out(images):
    names = [path.name for path in pick_images([str(images)], 4)]
    assert names == ["0.png", "2.png", "4.png", "6.png"]
    assert len(pick_images([f"{images}/*.png", str(images)], 100)) == 8


def test_a_calibration_that_is_impossible_is_refused(mask_rcnn, images, tmp_path):
    for inputs, number, message in (
        ([str(tmp_path)], 5, "there is no image in"),
        ([str(images / "clip.mp4")], 5, r"there is no image in .*clip\.mp4"),
        ([str(images / "notes.txt")], 5, r"notes\.txt cannot be read as an image"),
        ([str(images / "none.png")], 5, r"none\.png"),
        ([str(images)], 0, "at least 1, found 0"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            pick_images(inputs, number)
    out = tmp_path / "model.onnx"
    arguments = (mask_rcnn.config, mask_rcnn.checkpoint, out)
    with pytest.raises(ValueError, match="needs images to calibrate on, found none"):
        export_checkpoint(*arguments, calibration=[])
    with pytest.raises(
        ValueError, match=r"expected half or calibration, found both; choose half \(float16\)"
    ):
        export_checkpoint(*arguments, calibration=[images / "0.png"], half=True)
    assert not out.exists()


@pytest.mark.parametrize("more", [["--fp16"], []])
def test_the_tool_refuses_before_work_starts(repository, tmp_path, monkeypatch, capsys, more):
    tool = repository / "tools" / "export_onnx.py"
    arguments = [tool, "no_config.py", "none.pth", "--out", "m.onnx", "--int8", tmp_path, *more]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    with pytest.raises(SystemExit) as refusal:
        runpy.run_path(str(tool), run_name="__main__")
    message = f"{refusal.value} {capsys.readouterr().err}"
    assert ("choose --int8" if more else "there is no image in") in message
