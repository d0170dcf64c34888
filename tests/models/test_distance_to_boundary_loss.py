"""The distance map against distances by brute force, and the loss against float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS

from nbseg.models.distance_to_boundary_loss import DistanceToBoundaryLoss, distance_to_boundary
from nbseg.ops import bpm_mask_loss

pytestmark = pytest.mark.usefixtures("one_thread")


def distances_by_hand(mask):
    """From each pixel to every pixel of the other side, in float64."""
    pixels = np.stack(np.meshgrid(*map(np.arange, mask.shape), indexing="ij"), -1).reshape(-1, 2)
    between = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)
    other = mask.reshape(-1, 1) != mask.reshape(1, -1)
    return np.where(other, between, np.inf).min(axis=1).reshape(mask.shape) - 0.5


@pytest.fixture
def example():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(6, 3, 5, 5, generator=generator)
    logits = 3 * F.interpolate(coarse, size=14, mode="bilinear")
    logits[4] = logits[4].abs() + 0.1  # all foreground
    logits[5] = -logits[5].abs() - 0.1  # all background
    targets = (torch.rand(6, 14, 14, generator=generator) > 0.5).to(torch.uint8)
    return logits, targets, torch.tensor([0, 1, 2, 0, 1, 2])


def test_distances(example):
    logits, _, labels = example
    masks = (logits[torch.arange(6), labels] >= 0).numpy()
    distances = distance_to_boundary(masks)
    for mask, distance in zip(masks[:4], distances[:4], strict=True):
        assert 0 < mask.sum() < mask.size
        np.testing.assert_allclose(distance, distances_by_hand(mask), rtol=1e-6)
        assert distance.min() == 0.5
    assert np.isinf(distances[4:]).all()


def test_a_straight_edge_is_half_a_pixel_from_both_sides():
    mask = np.zeros((1, 6, 6), bool)
    mask[..., 3:] = True
    expected = np.tile([2.5, 1.5, 0.5, 0.5, 1.5, 2.5], (6, 1))
    np.testing.assert_allclose(distance_to_boundary(mask)[0], expected, rtol=1e-6)


def test_loss_and_gradient(example):
    logits, targets, labels = example
    logits.requires_grad_()
    loss = MODELS.build(
        {"type": "DistanceToBoundaryLoss", "gain": 2.0, "sigma": 1.5, "loss_weight": 0.5}
    )
    actual = loss(logits, targets, labels)
    actual.backward()

    exact = logits.detach().double().requires_grad_()
    chosen = exact[torch.arange(6), labels]
    weights = torch.full((6, 14, 14), 2.0, dtype=torch.float64)
    for r in range(4):
        distance = distances_by_hand((chosen[r] >= 0).numpy())
        closeness = torch.from_numpy(np.exp(-(distance**2) / (2 * 1.5**2)))
        weights[r] = 2 * closeness / closeness.mean()
    bce = F.binary_cross_entropy_with_logits(chosen, targets.double(), reduction="none")
    expected = 0.5 * (weights * bce).mean()
    expected.backward()
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-4, atol=1e-9)
    assert torch.all(logits.grad[0, 1:] == 0)


def test_masks_without_a_boundary_weigh_as_in_the_boundary_preserving_loss(example):
    _, targets, labels = example
    logits = torch.full((6, 3, 14, 14), 0.3)
    actual = DistanceToBoundaryLoss()(logits, targets, labels)
    torch.testing.assert_close(actual, bpm_mask_loss(logits, targets, labels))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_logits_are_computed_wider(example, dtype):
    logits, targets, labels = example
    narrow = logits.to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        actual = DistanceToBoundaryLoss()(narrow, targets, labels)
    assert actual.dtype == torch.float32
    assert torch.equal(actual, DistanceToBoundaryLoss()(narrow.float(), targets, labels))
    actual.backward()
    assert narrow.grad.dtype == dtype and torch.isfinite(narrow.grad).all()


def test_no_rois():
    logits = torch.zeros(0, 3, 14, 14, requires_grad=True)
    loss = DistanceToBoundaryLoss()(
        logits, torch.zeros(0, 14, 14), torch.zeros(0, dtype=torch.int64)
    )
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape


def test_sigma_must_be_positive():
    with pytest.raises(ValueError, match="sigma must be positive, found 0"):
        DistanceToBoundaryLoss(sigma=0)


@pytest.mark.parametrize("head", ["NoiseTolerantMaskHead", "RLEMaskHead"])
def test_it_replaces_the_loss_of_a_mask_head(make_detector, batch, head):
    mask_head = {"type": head, "num_convs": 1, "loss_mask": {"type": "DistanceToBoundaryLoss"}}
    detector = make_detector("mask-rcnn_r50_fpn", mask_head).train()
    losses = detector(**detector.data_preprocessor(batch, training=True), mode="loss")
    total, _ = detector.parse_losses(losses)
    total.backward()
    grads = [parameter.grad for parameter in detector.roi_head.mask_head.parameters()]
    assert all(torch.isfinite(grad).all() for grad in grads)
    assert max(grad.abs().max() for grad in grads) > 0
