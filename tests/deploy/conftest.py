"""Export two detectors once for all tests."""

import pytest
from small_detectors import GRAY, decided_detector, export, silence, small_config


@pytest.fixture(scope="session")
def mask_rcnn(tmp_path_factory):
    """Export Mask R-CNN with the noise-tolerant head; it finds nothing in ``GRAY``."""
    head = {"type": "NoiseTolerantMaskHead", "norm_cfg": {"type": "BN"}}
    config = small_config("mask-rcnn_r50_fpn", head)
    detector = decided_detector(config)
    silence(detector, config, GRAY)
    return export(tmp_path_factory.mktemp("mask_rcnn"), detector, config)


@pytest.fixture(scope="session")
def cascade(tmp_path_factory):
    """Export Cascade Mask R-CNN with two stages and plain, class-agnostic masks."""
    head = {"type": "FCNMaskHead", "class_agnostic": True}
    config = small_config("cascade-mask-rcnn_r50_fpn", head)
    roi_head = config.model.roi_head
    roi_head.update(num_stages=2, stage_loss_weights=[1, 0.5], bbox_head=roi_head.bbox_head[:2])
    return export(tmp_path_factory.mktemp("cascade"), decided_detector(config), config)
