"""Export a trained detector to ONNX with standard operators only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
from mmengine.config import Config

import nbseg
from nbseg.deploy.detector import class_names, load_detector
from nbseg.deploy.export_checks import check_exportable, resize_rule
from nbseg.deploy.features import check_features
from nbseg.deploy.model_info import ModelInfo
from nbseg.deploy.quantization import quantize_backbone_and_neck
from nbseg.deploy.trace import infer_shapes, trace
from nbseg.deploy.traced_detector import TracedDetector
from nbseg.files import replacing
from nbseg.image_options import options_in


def export_checkpoint(
    config: Config,
    checkpoint: str | Path,
    out: str | Path,
    *,
    half: bool = False,
    calibration: Sequence[Path] | None = None,
    max_detections: int | None = None,
    score_threshold: float | None = None,
) -> ModelInfo:
    """Export a checkpoint to an ONNX file. If the export fails, ``out`` is unchanged.

    Args:
        config: MMDetection config of the model, for example the result of
            ``nbseg.config.plain_config.student_config``.
        checkpoint: ``.pth`` file with the model's weights.
        out: path of the ONNX file.
        half: whether to use float16 for weights and features; boxes, scores and masks stay float32.
        calibration: image files, at least one. Backbone and neck are quantized to int8, and the
            ranges of the activations are measured on these images. With None, the model is not
            quantized. Calibration cannot be combined with ``half``.
        max_detections: largest number of detections per image; default:
            ``model.test_cfg.rcnn.max_per_img`` of the config.
        score_threshold: the model returns only detections with a score above this threshold;
            default: ``model.test_cfg.rcnn.score_thr`` of the config.

    Returns:
        The metadata of the exported model.

    Raises:
        FileNotFoundError: the checkpoint or a calibration image is missing.
        ValueError: an argument is invalid, the weights do not fit the config's model, a part of
            the model or of the config's test pipeline cannot be exported, or a calibration image
            cannot be decoded.
    """
    if calibration is not None and half:
        raise ValueError(
            "expected half or calibration, found both; choose half (float16) for GPUs, or "
            "calibration (int8) for CPUs"
        )
    if calibration is not None and not calibration:
        raise ValueError(
            "int8 needs images to calibrate on, found none; pass about a hundred image files as "
            "calibration"
        )
    resize = resize_rule(config)
    detector = load_detector(config, checkpoint)
    check_exportable(detector)
    traced = TracedDetector(detector, max_detections, score_threshold)
    info = ModelInfo(
        classes=class_names(config, checkpoint, detector),
        resize=resize,
        mask_threshold=float(detector.roi_head.test_cfg.mask_thr_binary),
        score_threshold=traced.score_threshold,
        max_detections=traced.max_detections,
        nbseg_version=nbseg.__version__,
        config=config.pretty_text,
        image_options=options_in(config.test_dataloader.dataset.pipeline),
    )
    model = trace(traced, half, info.image_options.channels)
    check_features(model, traced, info.image_options.channels)
    if calibration is not None:
        model, quantization = quantize_backbone_and_neck(
            model, calibration, resize, info.image_options
        )
        info = replace(info, quantization=quantization)
    save_onnx(model, info, out)
    return info


def save_onnx(model: onnx.ModelProto, info: ModelInfo, out: str | Path) -> None:
    """Check an ONNX model, add ``info`` to its metadata, and write the model to the file ``out``.

    Raises:
        RuntimeError: the model contains a non-standard operator or a model-local function.
    """
    model = infer_shapes(model)
    check_standard(model)
    model.producer_name, model.producer_version = "nbseg", nbseg.__version__
    onnx.helper.set_model_props(model, info.to_metadata())
    onnx.checker.check_model(model, full_check=True)
    with replacing(out) as temporary:
        onnx.save(model, temporary)


def check_standard(model: onnx.ModelProto) -> None:
    """Raise RuntimeError if a model has a non-standard operator or a model-local function."""
    graphs = [model.graph, *model.functions]
    foreign = {
        f"{node.domain}::{node.op_type}"
        for graph in graphs
        for node in _nodes(graph)
        if node.domain not in ("", "ai.onnx")
    }
    if foreign or model.functions:
        raise RuntimeError(
            "an exported model must contain only standard ONNX operators and no functions, found "
            f"the non-standard operators {sorted(foreign)} and {len(model.functions)} functions; "
            "please report this bug of nbseg"
        )


def _nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _nodes(subgraph)
