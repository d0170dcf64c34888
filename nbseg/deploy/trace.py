"""Trace a detector, and translate the trace to an ONNX model for all batch and image sizes."""

import ast
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from nbseg.deploy.model_info import INPUT, MODULE, OUTPUTS
from nbseg.deploy.onnx_ops import TRANSLATIONS
from nbseg.deploy.traced_detector import TracedDetector

OPSET = 18
# Trace with two images: torch.export would treat a batch size of one as a constant.
TRACED_SIZE = (2, 224, 320)
# The traced program must also run with these numbers of images, heights and widths: one larger and
# one smaller than the traced size.
OTHER_SIZES = ((1, 352, 260), (3, 97, 161))


def trace(traced: TracedDetector, half: bool, channels: int = 3) -> onnx.ModelProto:
    """Trace a detector and return its ONNX model.

    The graph stores the shapes of its tensors. If a node belongs to a part of the detector, such as
    the backbone, the node's metadata contain the part's name under the key ``MODULE`` ("module").

    Args:
        traced: the detector.
        half: whether to convert the detector's weights to float16, in place.
        channels: number of channels of an input image.

    Raises:
        ValueError: a part of the detector cannot be translated to an ONNX model that works for
            every number of images and every image size. The message names the part.
    """
    traced.eval()
    if half:
        for part in ("backbone", "neck", "rpn_head", "roi_head"):
            if hasattr(traced.detector, part):
                getattr(traced.detector, part).half()
    _check_any_batch(traced, channels)
    try:
        model = _to_onnx(_program(traced, channels), list(OUTPUTS))
    # torch.export and torch.onnx raise exceptions of many kinds, which have no common base class.
    except Exception as error:
        raise _refusal(_failing_part(traced, channels), "image size", error) from error
    model = infer_shapes(model)
    # Of each node's metadata, keep only the name of the detector's part. The other entries contain
    # paths of source files on this machine.
    del model.graph.metadata_props[:]
    for node in model.graph.node:
        module = _module(node)
        del node.metadata_props[:]
        if module is not None:
            node.metadata_props.add(key=MODULE, value=module)
    return model


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model in which the graph stores the shapes of its tensors."""
    return onnx.shape_inference.infer_shapes(
        model, check_type=True, strict_mode=True, data_prop=True
    )


def _program(module: nn.Module, channels: int) -> torch.export.ExportedProgram:
    """Trace a module that takes images (B, C, H, W), and run the trace with two other sizes.

    ``torch.onnx.export`` could trace the module, too. But it would accept a module that works for
    one batch size only, and would store this batch size as a constant (torch 2.13.0).
    """
    batch, height, width = TRACED_SIZE
    example = torch.zeros(batch, channels, height, width, dtype=torch.uint8)
    free = torch.export.Dim.DYNAMIC
    with torch.no_grad(), _quiet():
        program = torch.export.export(
            module, (example,), dynamic_shapes=({0: free, 2: free, 3: free},), strict=False
        )
        # The program raises an error if the trace relies on a property of the example's size.
        for batch, height, width in OTHER_SIZES:
            program.module()(torch.zeros(batch, channels, height, width, dtype=torch.uint8))
    return program


def _to_onnx(
    program: torch.export.ExportedProgram, output_names: list[str] | None
) -> onnx.ModelProto:
    """Translate a traced module to ONNX."""
    with torch.no_grad(), _quiet():
        translated = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=output_names,
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
    assert translated is not None  # None is returned only if torch writes the file
    return translated.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings: torchvision is missing, for example, but the export does not use it."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class _Part(nn.Module):
    """Applies a function of the detector to preprocessed images."""

    def __init__(self, traced: TracedDetector, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.traced = traced
        self.function = function

    def forward(self, images: Tensor) -> object:
        return self.function(self.traced.preprocess(images))


def _check_any_batch(traced: TracedDetector, channels: int) -> None:
    """Raise ValueError if the backbone works only for the number of images it is traced with.

    The image size is fixed here. With a free size, torch.export does not return for hours for a
    Swin Transformer, which fails this check in seconds (torch 2.13.0).
    """
    batch, height, width = TRACED_SIZE
    example = torch.zeros(batch, channels, height, width, dtype=torch.uint8)
    part = _Part(traced, traced.detector.backbone)
    try:
        with torch.no_grad(), _quiet():
            torch.export.export(
                part, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
            )
    except Exception as error:
        raise _refusal(_name(traced, "backbone"), "number of images", error) from error


def _failing_part(traced: TracedDetector, channels: int) -> str:
    """Name the part because of which a detector cannot be exported."""
    detector = traced.detector
    parts: list[tuple[str, Callable[[Tensor], object]]] = [("backbone", detector.backbone)]
    if detector.with_neck:
        parts.append(("neck", detector.extract_feat))
    # Tracing takes less time than translating. So first look for a part that cannot be traced.
    for translate in (False, True):
        for name, function in parts:
            try:
                program = _program(_Part(traced, function), channels)
                if translate:
                    _to_onnx(program, None)
            except Exception:
                return _name(traced, name)
    return "a head"


def _name(traced: TracedDetector, part: str) -> str:
    """Return, for example, ``the neck FPN + BFP``."""
    module = getattr(traced.detector, part)
    modules = module if isinstance(module, nn.Sequential) else [module]
    return f"the {part} {' + '.join(type(module).__name__ for module in modules)}"


def _refusal(part: str, sizes: str, error: Exception) -> ValueError:
    cause: BaseException = error
    while cause.__cause__ is not None:  # torch.onnx wraps the cause in general advice
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return ValueError(
        f"cannot export: an ONNX model with {part} would not work for every {sizes}; choose "
        f"another model; PyTorch reports {type(cause).__name__}: {' '.join(lines[:2])}"
    )


def _module(node: onnx.NodeProto) -> str | None:
    """Return the name of the detector's part that a node belongs to, such as ``backbone``.

    Return None if the node belongs to no part.
    """
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            for scope in ast.literal_eval(entry.value):
                if scope.startswith("detector."):
                    return str(scope).split(".")[1]
    return None
