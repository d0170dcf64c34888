"""Check whether a detector and its test pipeline can be exported to ONNX."""

from collections.abc import Iterator
from typing import Any

from mmcv.ops import RoIAlign
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.dense_heads import RPNHead
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.config import Config, ConfigDict
from torch import nn

from nbseg.deploy.preprocessing import INTERPOLATIONS, ResizeRule


def check_exportable(detector: nn.Module) -> None:
    """Raise ValueError if the exporter cannot reproduce a part of the detector.

    The exporter supports two-stage detectors that consist of these parts of MMDetection:

    - ``DetDataPreprocessor``, or a subclass with the same ``forward``
    - any backbone and neck that ``nbseg.deploy.trace`` can trace for every image size
    - ``RPNHead`` with anchors on a grid
    - ``StandardRoIHead`` or ``CascadeRoIHead``
    - ``SingleRoIExtractor`` with ``RoIAlign`` and average pooling
    - box heads that predict boxes and softmax scores as ``BBoxHead`` does
    - mask heads that predict as ``FCNMaskHead`` does
    - ``DeltaXYWHBBoxCoder``
    - NMS of the type ``nms``
    """
    for name, wanted, found in _mismatches(detector):
        raise ValueError(
            f"cannot export: {name} must be {wanted}, found {found}; change the config if the "
            "checkpoint allows this change, or export another model"
        )


def _mismatches(detector: Any) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the supported kinds and the found kind of each part that is not supported.

    Use only the first result: later checks assume that the earlier checks yielded nothing.
    """

    def name_of(part: object) -> str:
        return type(part).__name__

    if type(detector).predict is not TwoStageDetector.predict:
        wanted = "TwoStageDetector or a subclass that predicts in the same way"
        yield "the detector", wanted, name_of(detector)
    preprocessor = detector.data_preprocessor
    if getattr(type(preprocessor), "forward", None) is not DetDataPreprocessor.forward:
        wanted = "DetDataPreprocessor or a subclass with the same forward"
        yield "the data preprocessor", wanted, name_of(preprocessor)
    if type(detector.rpn_head) is not RPNHead:
        yield "the RPN", "RPNHead", name_of(detector.rpn_head)
    roi_head = detector.roi_head
    if type(roi_head) not in (StandardRoIHead, CascadeRoIHead):
        yield "the RoI head", "StandardRoIHead or CascadeRoIHead", name_of(roi_head)
    if not roi_head.with_mask:
        wanted = "StandardRoIHead or CascadeRoIHead with a mask head"
        yield "the RoI head", wanted, f"{name_of(roi_head)} without a mask head"
    generator = detector.rpn_head.prior_generator
    if type(generator).single_level_grid_priors is not AnchorGenerator.single_level_grid_priors:
        wanted = "AnchorGenerator or a subclass that places anchors in the same way"
        yield "the RPN's anchor generator", wanted, name_of(generator)
    coders = [detector.rpn_head.bbox_coder]
    for head in _list(roi_head.bbox_head):
        if type(head)._predict_by_feat_single is not BBoxHead._predict_by_feat_single:
            wanted = "BBoxHead or a subclass that predicts in the same way"
            yield "the box head", wanted, name_of(head)
        if head.custom_activation or not (head.with_cls and head.with_reg):
            yield "the box head", "a head that predicts boxes and softmax scores", name_of(head)
        coders.append(head.bbox_coder)
    for coder in coders:
        if type(coder) is not DeltaXYWHBBoxCoder:
            yield "the box coder", "DeltaXYWHBBoxCoder", name_of(coder)
    for head in _list(roi_head.mask_head):
        if type(head).predict_by_feat is not FCNMaskHead.predict_by_feat:
            wanted = "FCNMaskHead or a subclass that predicts in the same way"
            yield "the mask head", wanted, name_of(head)
    for extractors in (roi_head.bbox_roi_extractor, roi_head.mask_roi_extractor):
        for extractor in _list(extractors):
            if type(extractor) is not SingleRoIExtractor:
                yield "the RoI extractor", "SingleRoIExtractor", name_of(extractor)
            for layer in extractor.roi_layers:
                if type(layer) is not RoIAlign or layer.pool_mode != "avg":
                    yield "the RoI layer", "RoIAlign(pool_mode='avg')", repr(layer)
    for name, cfg in (("rpn", detector.rpn_head.test_cfg), ("rcnn", roi_head.test_cfg)):
        unknown = set(cfg.nms) - {"type", "iou_threshold", "class_agnostic", "split_thr"}
        if cfg.nms.get("type", "nms") != "nms" or unknown:
            wanted = "dict(type='nms', iou_threshold=...)"
            yield f"model.test_cfg.{name}.nms", wanted, str(dict(cfg.nms))
        for key in ("nms_pre", "max_per_img") if name == "rpn" else ("max_per_img",):
            if cfg.get(key, -1) < 1:
                yield f"model.test_cfg.{name}.{key}", "a positive number", str(cfg.get(key))


def _list(part: nn.Module) -> list[Any]:
    return list(part) if isinstance(part, nn.ModuleList) else [part]


def resize_rule(config: Config) -> ResizeRule:
    """Return the rule by which the config's test pipeline resizes an image.

    Raises:
        ValueError: the config has no test pipeline, or the pipeline has a step that
            ``nbseg.deploy.runtime``, which runs exported models, cannot reproduce.
    """
    pipeline = config.test_dataloader.dataset.get("pipeline")
    if pipeline is None:
        raise ValueError(
            "cannot export: test_dataloader.dataset has no pipeline; set test_dataloader.dataset "
            "to a single data set with a pipeline, not to a wrapper such as ConcatDataset"
        )
    rule = ResizeRule()
    for position, transform in enumerate(pipeline):
        name = transform["type"]
        if name == "Resize" and position == 1:
            rule = _resize(transform)
        elif name in ("LoadImage", "LoadImageFromFile") and position == 0:
            _check_values(transform, color_type="color", imdecode_backend="cv2")
        elif not name.startswith("Load") and name != "PackDetInputs":
            raise ValueError(
                "cannot export: the test pipeline may only load an image, resize the image with "
                "Resize as step 2, and pack the image with PackDetInputs; found "
                f"{name!r} as step {position + 1}; remove or move this step"
            )
    return rule


def _resize(transform: ConfigDict) -> ResizeRule:
    _check_values(transform, backend="cv2")
    scale, factor = transform.get("scale"), transform.get("scale_factor")
    interpolation = transform.get("interpolation", "bilinear")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"cannot export: interpolation of Resize must be one of {', '.join(INTERPOLATIONS)}, "
            f"found {interpolation!r}; change this value in the test pipeline"
        )
    return ResizeRule(
        scale=None if scale is None else _pair(scale),
        scale_factor=(1.0, 1.0) if factor is None else _pair(factor),
        keep_ratio=transform.get("keep_ratio", False),
        interpolation=interpolation,
    )


def _check_values(transform: ConfigDict, **wanted: str) -> None:
    for key, value in wanted.items():
        if transform.get(key, value) != value:
            raise ValueError(
                f"cannot export: {key} of {transform['type']} must be {value!r}, found "
                f"{transform[key]!r}; change this value in the test pipeline"
            )


def _pair(value: Any) -> tuple[Any, Any]:
    return (value, value) if isinstance(value, (int, float)) else tuple(value)
