"""Check the ops that are exported as ONNX operators against MMCV and MMDetection."""

import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from nbseg.deploy.onnx_ops import multilevel_roi_align, nms_mask


def random_boxes(*shape):
    corner = torch.rand(*shape, 2) * 80
    return torch.cat([corner, corner + 1 + torch.rand(*shape, 2) * 40], -1)


def test_nms_keeps_the_boxes_that_mmcv_keeps():
    torch.manual_seed(0)
    boxes, scores = random_boxes(2, 200), torch.rand(2, 200)
    for most in (200, 7):
        keep = nms_mask(boxes, scores, 0.4, 0.3, most)
        for index in range(2):
            above = (scores[index] > 0.3).nonzero()[:, 0]
            _, expected = batched_nms(
                boxes[index, above],
                scores[index, above],
                torch.zeros_like(above),
                {"type": "nms", "iou_threshold": 0.4},
            )
            assert set(keep[index].nonzero()[:, 0].tolist()) == set(above[expected][:most].tolist())


def test_nms_of_no_candidates():
    assert not nms_mask(random_boxes(1, 5), torch.zeros(1, 5), 0.5, 0.0, 3).any()


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_roi_align_of_levels(sampling_ratio, layout):
    """For any memory layout, the op equals MMDetection's extractor on contiguous maps."""
    torch.manual_seed(0)
    extractor = SingleRoIExtractor(
        roi_layer={"type": "RoIAlign", "output_size": 7, "sampling_ratio": sampling_ratio},
        out_channels=5,
        featmap_strides=[4, 8, 16],
        finest_scale=6,
    )
    features = [torch.randn(2, 5, 32 >> level, 40 >> level) for level in range(3)]
    rois = torch.cat([torch.randint(0, 2, (30, 1)).float(), random_boxes(30)], 1)
    levels = extractor.map_roi_levels(rois, 3)
    assert (levels.bincount(minlength=3) > 0).all()
    pooled = multilevel_roi_align(
        [feature.to(memory_format=layout) for feature in features],
        rois,
        levels,
        [7, 7],
        [1 / 4, 1 / 8, 1 / 16],
        sampling_ratio,
        True,
    )
    torch.testing.assert_close(pooled, extractor(features, rois), rtol=0, atol=0)


def test_the_ops_keep_the_contract_of_torch():
    torch.library.opcheck(nms_mask, (random_boxes(2, 9), torch.rand(2, 9), 0.5, 0.1, 4))
    features = [torch.randn(1, 3, 8, 8), torch.randn(1, 3, 4, 4)]
    rois = torch.cat([torch.zeros(6, 1), random_boxes(6)], 1)
    levels = torch.tensor([0, 1, 0, 0, 1, 0])
    torch.library.opcheck(
        multilevel_roi_align, (features, rois, levels, [7, 7], [0.1, 0.05], 0, True)
    )
