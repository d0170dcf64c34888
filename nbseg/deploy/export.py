"""Export of a trained detector to ONNX with standard operators only."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from mmengine.config import Config

import nbseg
from nbseg.deploy.detector import class_names, load_detector
from nbseg.deploy.export_checks import check_exportable, resize_rule
from nbseg.deploy.model_info import INPUT, OUTPUTS, ModelInfo
from nbseg.deploy.onnx_ops import TRANSLATIONS
from nbseg.deploy.traced_detector import TracedDetector
from nbseg.files import replacing

OPSET = 18


def export_checkpoint(
    config: Config,
    checkpoint: str | Path,
    out: str | Path,
    *,
    half: bool = False,
    max_detections: int | None = None,
    score_threshold: float | None = None,
) -> ModelInfo:
    """Write the model of a checkpoint to an ONNX file, which appears once it is whole.

    Args:
        config: plain MMDetection config that the checkpoint was trained with.
        checkpoint: a ``.pth`` file of that config's model.
        out: the ONNX file.
        half: whether weights and features are float16; boxes, scores and masks stay float32.
        max_detections: detections an image, at most; default: the test config's.
        score_threshold: detections have a score above this; default: the test config's.

    Returns:
        What the model says about itself.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint is not the config's model's, or the model or its test pipeline
            has a part that cannot be exported.
    """
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
    )
    save_onnx(traced, info, out, half=half)
    return info


def save_onnx(
    traced: TracedDetector, info: ModelInfo, out: str | Path, *, half: bool = False
) -> None:
    """Trace, check and write a detector; arguments as in :func:`export_checkpoint`.

    Raises:
        RuntimeError: the graph holds an operator that is not standard ONNX.
    """
    traced.eval()
    if half:
        for part in ("backbone", "neck", "rpn_head", "roi_head"):
            getattr(traced.detector, part).half()
    height_and_width = {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It would say that torchvision, which is not used, is not there.
        logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
        program = torch.onnx.export(
            traced,
            # Two, not one: torch.export takes a batch of one for a constant.
            (torch.zeros(2, 3, 224, 320, dtype=torch.uint8),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch"), **height_and_width},),
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
    assert program is not None  # it is None only where torch writes the file itself
    model = onnx.shape_inference.infer_shapes(
        program.model_proto, check_type=True, strict_mode=True, data_prop=True
    )
    check_standard(model)
    # Where in whose source tree each node came from.
    for part in (model.graph, *model.graph.node):
        del part.metadata_props[:]
    model.producer_name, model.producer_version = "nbseg", nbseg.__version__
    onnx.helper.set_model_props(model, info.to_metadata())
    onnx.checker.check_model(model, full_check=True)
    with replacing(out) as temporary:
        onnx.save(model, temporary)


def check_standard(model: onnx.ModelProto) -> None:
    """Raise RuntimeError if a node, of a subgraph or function too, is not standard ONNX."""
    graphs = [model.graph, *model.functions]
    foreign = {
        f"{node.domain}::{node.op_type}"
        for graph in graphs
        for node in _nodes(graph)
        if node.domain not in ("", "ai.onnx")
    }
    if foreign or model.functions:
        raise RuntimeError(
            f"the exported graph holds operators that are not standard ONNX: {sorted(foreign)}, "
            f"and {len(model.functions)} functions; this is a bug of nbseg.deploy.export"
        )


def _nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _nodes(subgraph)
