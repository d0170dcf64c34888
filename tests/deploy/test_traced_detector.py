"""Check the traceable detector in PyTorch against MMDetection's predictions."""

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from small_detectors import decided_detector, pictures, small_config

from nbseg.deploy.export_checks import check_exportable
from nbseg.deploy.traced_detector import TracedDetector

pytestmark = pytest.mark.usefixtures("one_thread")

HEAD = {"type": "FCNMaskHead"}
VARIANTS = {
    "class-agnostic boxes and masks": lambda m: (
        m.roi_head.bbox_head.update(reg_class_agnostic=True),
        m.roi_head.mask_head.update(class_agnostic=True),
    ),
    "NMS over all classes": lambda m: m.test_cfg.rcnn.nms.update(class_agnostic=True),
    "softmax RPN": lambda m: m.rpn_head.loss_cls.update(use_sigmoid=False),
    "RGB images, no padding": lambda m: m.data_preprocessor.update(
        bgr_to_rgb=False, pad_size_divisor=1
    ),
    "padding with a value": lambda m: m.data_preprocessor.update(pad_value=3.0),
    "proposals beyond the image": lambda m: m.rpn_head.bbox_coder.update(clip_border=False),
    "a least size of proposals": lambda m: m.test_cfg.rpn.update(min_bbox_size=9),
    "three levels": lambda m: (
        m.backbone.update(
            num_stages=3, out_indices=(0, 1, 2), strides=(1, 2, 2), dilations=(1, 1, 1)
        ),
        m.neck.update(in_channels=[8, 16, 32], num_outs=3),
        m.rpn_head.anchor_generator.update(strides=[4, 8, 16]),
        m.roi_head.bbox_roi_extractor.update(featmap_strides=[4, 8, 16]),
        m.roi_head.mask_roi_extractor.update(featmap_strides=[4, 8, 16]),
    ),
    "fixed sampling": lambda m: [
        m.roi_head[name].roi_layer.update(sampling_ratio=2)
        for name in ("bbox_roi_extractor", "mask_roi_extractor")
    ],
    "more places than candidates": lambda m: (
        m.test_cfg.rpn.update(nms_pre=20, max_per_img=2000),
        m.test_cfg.rcnn.update(max_per_img=1000, score_thr=0.5),
    ),
}


@pytest.mark.parametrize("base", ["mask-rcnn_r50_fpn", "cascade-mask-rcnn_r50_fpn"])
def test_both_kinds_of_detector(base):
    assert_as_predicted(small_config(base, HEAD))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant(variant):
    config = small_config("mask-rcnn_r50_fpn", HEAD)
    VARIANTS[variant](config.model)
    assert_as_predicted(config)


def assert_as_predicted(config):
    detector = decided_detector(config)
    check_exportable(detector)
    traced = TracedDetector(copy.deepcopy(detector)).eval()
    images = [torch.from_numpy(i).permute(2, 0, 1) for i in pictures((90, 133), (90, 133))]
    metainfo = {"ori_shape": (90, 133), "img_shape": (90, 133), "scale_factor": (1.0, 1.0)}
    samples = [DetDataSample(metainfo=metainfo) for _ in images]
    with torch.no_grad():
        expected = detector.test_step({"inputs": images, "data_samples": samples})
        outputs = traced(torch.stack(images))
    counts = outputs[-1]
    assert counts.tolist() == [len(sample.pred_instances.scores) for sample in expected]
    assert counts.sum() > 0
    for sample, boxes, scores, labels, masks, count in zip(expected, *outputs, strict=True):
        instances = sample.pred_instances
        torch.testing.assert_close(boxes[:count], instances.bboxes, atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(scores[:count], instances.scores, atol=1e-5, rtol=1e-5)
        assert labels[:count].tolist() == instances.labels.tolist()
        for rest in (boxes, scores, labels, masks):
            assert not rest[count:].any()
        assert ((masks >= 0) & (masks <= 1)).all()


def test_its_limits_can_be_set():
    config = small_config("mask-rcnn_r50_fpn", HEAD)
    detector = decided_detector(config)
    images = torch.from_numpy(pictures((90, 133))[0]).permute(2, 0, 1)[None]
    with torch.no_grad():
        _, everything, _, _, _ = TracedDetector(copy.deepcopy(detector))(images)
        strict = TracedDetector(copy.deepcopy(detector), max_detections=4, score_threshold=0.6)
        boxes, scores, _, masks, counts = strict(images)
    assert boxes.shape == (1, 4, 4)
    assert masks.shape == (1, 4, 28, 28)
    best = everything[everything > 0.6][:4]
    torch.testing.assert_close(scores[0, : counts[0]], best)
    for options in ({"max_detections": 0}, {"score_threshold": -0.1}, {"score_threshold": 1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            TracedDetector(copy.deepcopy(detector), **options)
