"""Quantize the backbone and the neck of an exported detector to int8 with ONNX Runtime.

    images ── normalize, pad ──[ backbone, neck ]── features ── heads
               float32          int8               float32

The graph from the images to the features is extracted and calibrated on images. In this part, the
backbone and the neck are quantized. Then the part is put back into the graph. The heads are not run
during calibration, and they stay unchanged.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from mmengine.utils import track_iter_progress
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from nbseg.deploy.features import cut_features, feature_nodes
from nbseg.deploy.model_info import INPUT, Quantization
from nbseg.deploy.preprocessing import ResizeRule, as_batch
from nbseg.image_options import DEFAULTS, ImageOptions
from nbseg.images import read_image

# Quantize all operators that occur between the convolutions of a backbone or a neck. An operator
# missing in this list would stay in float32, so the tensors before and after this operator would
# be converted to float32 and back.
OPERATORS = ["Add", "Clip", "Conv", "MaxPool", "Relu", "Resize"]


def quantize_backbone_and_neck(
    model: ModelProto,
    images: Sequence[Path],
    resize: ResizeRule,
    image_options: ImageOptions = DEFAULTS,
) -> tuple[ModelProto, Quantization]:
    """Return the model with an int8 backbone and neck, and a record of the quantization.

    Weights are int8 with a scale for each output channel. Activations are uint8, not int8, because
    x86's integer dot product (VNNI) multiplies unsigned by signed bytes.

    ONNX Runtime determines the smallest and the largest value of an activation in each image. The
    activation's range goes from the mean of the smallest values to the mean of the largest values.
    An outlier in one image therefore has little influence on the range. ONNX Runtime computes these
    means without keeping the activations in memory.

    Args:
        model: float32 model that ``nbseg.deploy.trace.trace`` returned.
        images: image files to calibrate on; they are read one by one.
        resize: rule for resizing an image before the image enters the model.
        image_options: options with which the images are read.

    Raises:
        FileNotFoundError: an image file is missing.
        ValueError: an image cannot be decoded.
    """
    nodes = feature_nodes(model)
    cut = cut_features(model, nodes)
    # This entry tells the quantizer that the model was preprocessed, which silences a warning:
    # torch.onnx.export has already folded batch normalization and inferred shapes.
    onnx.helper.set_model_props(cut, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        quantize_static(
            cut,
            path,
            _Reader(images, resize, image_options),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            nodes_to_quantize=sorted(nodes),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )
        quantized = onnx.load(path)
    return _put_back(model, cut, quantized), Quantization("mean of minima and maxima", len(images))


class _Reader(CalibrationDataReader):
    """Gives the quantizer one image after another, and shows the progress."""

    def __init__(
        self, images: Sequence[Path], resize: ResizeRule, image_options: ImageOptions
    ) -> None:
        self._images = track_iter_progress((images, len(images)))
        self._resize = resize
        self._image_options = image_options

    def get_next(self) -> dict[str, Any] | None:
        path = next(self._images, None)
        if path is None:
            return None
        image = read_image(path, options=self._image_options)
        return {INPUT: as_batch([self._resize(image)])}


def _put_back(model: ModelProto, cut: ModelProto, quantized: ModelProto) -> ModelProto:
    """Return a copy of ``model`` in which an extracted part is replaced by its int8 version.

    Args:
        model: the whole model.
        cut: the extracted part.
        quantized: the int8 version of this part.
    """
    replaced = {node.name for node in cut.graph.node}
    rest = [node for node in model.graph.node if node.name not in replaced]
    used = {name for node in rest for name in node.input}
    known = {tensor.name for tensor in quantized.graph.initializer}
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend([*quantized.graph.node, *rest])
    graph.initializer.extend(quantized.graph.initializer)
    graph.initializer.extend(
        tensor
        for tensor in model.graph.initializer
        if tensor.name in used and tensor.name not in known
    )
    return result
