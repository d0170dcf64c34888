"""Cut the backbone and the neck out of an exported detector, and compare them with PyTorch."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from onnx import ModelProto, TensorProto
from onnx.utils import Extractor

from nbseg.deploy.model_info import INPUT, MODULE
from nbseg.deploy.trace import OTHER_SIZES
from nbseg.deploy.traced_detector import TracedDetector

Array = npt.NDArray[np.float32]
PARTS = ("backbone", "neck")
# Largest difference, as a share of the largest absolute value of a feature map.
ROUNDING, HALF_ROUNDING = 1e-3, 5e-2


def feature_nodes(model: ModelProto) -> set[str]:
    """Return the names of the nodes that belong to the backbone or the neck.

    Args:
        model: model that ``nbseg.deploy.trace.trace`` returned.
    """
    return {
        node.name
        for node in model.graph.node
        if any(entry.key == MODULE and entry.value in PARTS for entry in node.metadata_props)
    }


def cut_features(model: ModelProto, nodes: Collection[str]) -> ModelProto:
    """Return the model from the images to the features.

    Args:
        model: the whole model.
        nodes: names of the nodes of the backbone and the neck. The outputs of the returned model
            are the floating-point tensors that these nodes produce and other nodes use.
    """
    floats = {
        value.name
        for value in model.graph.value_info
        if value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    }
    made: dict[str, None] = {}
    used: set[str] = set()
    for node in model.graph.node:
        if node.name in nodes:
            made.update(dict.fromkeys(node.output))
        else:
            used.update(node.input)
    features = [name for name in made if name in used & floats]
    return Extractor(model).extract_model([INPUT], features)


def check_features(model: ModelProto, traced: TracedDetector, channels: int = 3) -> None:
    """Compare the features of an exported detector with those of PyTorch, at two other sizes.

    torch.onnx translates some operations, such as adaptive pooling to more than one cell, with the
    sizes of the traced example as constants (torch 2.13.0). Such a model is right for the example's
    size only. The heads are not compared.

    Args:
        model: model that ``nbseg.deploy.trace.trace`` returned for ``traced``.
        traced: the detector.
        channels: number of channels of an image.

    Raises:
        ValueError: a feature map differs or is not finite, or ONNX Runtime cannot run the model.
    """
    cut = cut_features(model, feature_nodes(model))
    try:
        session = onnxruntime.InferenceSession(
            cut.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime's exceptions have no common base class.
    except Exception as error:
        raise ValueError(f"{_refusal(traced)} cannot be loaded: {error}") from error
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in OTHER_SIZES:
        images = torch.randint(
            256, (batch, channels, height, width), dtype=torch.uint8, generator=generator
        )
        with torch.no_grad():
            expected = traced.detector.extract_feat(traced.preprocess(images))
        size = f"{batch} images of {width} x {height} pixels"
        try:
            found = session.run(None, {INPUT: images.numpy()})
        except Exception as error:
            raise ValueError(f"{_refusal(traced)} fails for {size}: {error}") from error
        for level, feature in enumerate(expected):
            limit = HALF_ROUNDING if feature.dtype == torch.float16 else ROUNDING
            wanted = feature.float().numpy()
            if not np.isfinite(wanted).all():
                raise ValueError(
                    "cannot export: the features of backbone and neck are not finite; check the "
                    "weights of the checkpoint, or export without float16"
                )
            if not any(_equal(wanted, array.astype(np.float32), limit) for array in found):
                raise ValueError(
                    f"{_refusal(traced)} computes other features than PyTorch for {size}, at "
                    f"level {level} of the feature pyramid"
                )


def _refusal(traced: TracedDetector) -> str:
    detector = traced.detector
    names = [type(detector.backbone).__name__]
    if detector.with_neck:
        names.append(type(detector.neck).__name__)
    return (
        f"cannot export: with the backbone and neck {', '.join(names)}, the ONNX model would not "
        "work for every image size; choose another backbone or neck; the ONNX model"
    )


def _equal(wanted: Array, found: Array, limit: float) -> bool:
    if wanted.shape != found.shape:
        return False
    return bool(np.abs(found - wanted).max() <= limit * np.abs(wanted).max() + 1e-6)
