"""Check the noise-tolerant head inside MMDetection's detectors."""

import pytest
import torch

from nbseg.models.boundary_preserving_loss import BoundaryPreservingLoss

pytestmark = pytest.mark.usefixtures("one_thread")

CROSS_ENTROPY = {"type": "CrossEntropyLoss", "use_mask": True}
BOUNDARY_PRESERVING = {"type": "BoundaryPreservingLoss", "gain": 2.0}


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, BOUNDARY_PRESERVING])
@pytest.mark.parametrize("head", ["NoiseTolerantMaskHead", "FCNMaskHead"])
def test_head_and_loss_combine_in_mask_rcnn(make_detector, batch, head, loss):
    mask_head = {"type": head, "num_convs": 1, "loss_mask": loss}
    detector = make_detector("mask-rcnn_r50_fpn", mask_head).train()
    assert isinstance(detector.roi_head.mask_head.loss_mask, BoundaryPreservingLoss) == (
        loss is BOUNDARY_PRESERVING
    )
    data = detector.data_preprocessor(batch, training=True)
    losses = detector(**data, mode="loss")
    wanted = {"loss_mask", "loss_mask_coarse"} if head != "FCNMaskHead" else {"loss_mask"}
    assert {name for name in losses if "mask" in name} == wanted
    total, _ = detector.parse_losses(losses)
    total.backward()
    grads = [p.grad for p in detector.roi_head.mask_head.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)
    assert max(grad.abs().max() for grad in grads) > 0


@pytest.mark.parametrize("objects", [(0, 0), (0, 2)])
@pytest.mark.parametrize("base", ["mask-rcnn_r50_fpn", "cascade-mask-rcnn_r50_fpn"])
def test_batches_without_objects_train_on(make_detector, batch, base, objects):
    """As from pseudo-labels, where the teacher found nothing in some images."""
    detector = make_detector(
        base, {"type": "NoiseTolerantMaskHead", "num_convs": 1, "loss_mask": BOUNDARY_PRESERVING}
    )
    detector.train()
    for sample, count in zip(batch["data_samples"], objects, strict=True):
        sample.gt_instances = sample.gt_instances[:count]
    data = detector.data_preprocessor(batch, training=True)
    total, logged = detector.parse_losses(detector(**data, mode="loss"))
    total.backward()
    assert all(torch.isfinite(value) for value in logged.values())
    masks = [value for name, value in logged.items() if "loss_mask" in name]
    assert masks and all((value == 0) == (objects == (0, 0)) for value in masks)
    # Each parameter has a gradient, or DistributedDataParallel would wait for it.
    assert all(torch.isfinite(p.grad).all() for p in detector.parameters() if p.requires_grad)


@pytest.mark.parametrize("base", ["mask-rcnn_r50_fpn", "cascade-mask-rcnn_r50_fpn"])
def test_loss_and_prediction_in_mmdetections_detectors(make_detector, batch, base):
    detector = make_detector(
        base, {"type": "NoiseTolerantMaskHead", "num_convs": 1, "loss_mask": BOUNDARY_PRESERVING}
    )
    detector.train()
    data = detector.data_preprocessor(batch, training=True)
    total, logged = detector.parse_losses(detector(**data, mode="loss"))
    names = [name for name in logged if "loss_mask" in name]
    assert len(names) == (6 if base.startswith("cascade") else 2)
    total.backward()
    assert torch.isfinite(total)

    detector.eval()
    with torch.no_grad():
        samples = detector.test_step(batch)
    for sample in samples:
        predicted = sample.pred_instances
        assert len(predicted) > 0
        assert predicted.masks.shape == (len(predicted), 64, 64)
        assert predicted.masks.dtype == torch.bool
