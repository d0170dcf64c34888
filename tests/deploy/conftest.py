"""Export two detectors once for all tests."""

import pytest
from onnxscript.rewriter import MatchResult
from onnxscript.rewriter._matcher import SimplePatternMatcher
from small_detectors import GRAY, decided_detector, export, silence, small_config


@pytest.fixture(scope="session", autouse=True)
def patterns_are_tried_where_they_can_match():
    """The optimizer tries a pattern only at nodes of its first operator, which is all that differs.

    onnxscript 0.7 lists the whole graph for each node before it compares the operators of a pattern
    with several outputs: that takes a fifth of an export.
    """
    match = SimplePatternMatcher.match

    def match_operator_first(self, model, graph, node, **options):
        operator = self.pattern.output_nodes[0].op_identifier()
        if operator not in (None, node.op_identifier()):
            return MatchResult().fail("another operator")
        return match(self, model, graph, node, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimplePatternMatcher, "match", match_operator_first)
        yield


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
