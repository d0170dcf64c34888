"""Compares the boundary-preserving mask loss with its definition in float64."""

import pytest
import torch
import torch.nn.functional as F
from bpm_examples import BORDERS, assert_accurate, example, loss_and_grad
from torch import Tensor

from nbseg.ops import bpm_mask_loss, reference


def literal_loss(x: Tensor, targets: Tensor, border: str = "replicate", outside: float = 0.0):
    """Compute the definition for one channel, x (R, S, S) in float64, with a convolution."""
    p = x.detach().sigmoid()[:, None]
    mode = {"mode": "replicate"} if border == "replicate" else {"value": outside}
    kernel = p.new_tensor([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])[None, None]
    q = F.conv2d(F.pad(p, (1, 1, 1, 1), **mode), kernel).abs()[:, 0]
    weights = 3 * q / q.mean(dim=(1, 2), keepdim=True)
    return (weights * F.binary_cross_entropy_with_logits(x, targets, reduction="none")).mean()


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("scale", [1e-3, 0.1, 0.3, 1, 8, 50])
@pytest.mark.parametrize("size", [28, 14, 5, 2])
def test_equals_the_definition_in_float64(size, scale, border):
    logits, targets, labels = example(size=size, scale=scale)
    rois = torch.arange(len(labels))

    def literal(x):
        return literal_loss(x[rois, labels], targets.double(), border)

    actual = loss_and_grad(bpm_mask_loss, logits, targets, labels, border=border)
    assert_accurate(actual, loss_and_grad(literal, logits.double()))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("shift", [8, 16, 30, 44])
def test_saturated_foreground_keeps_its_digits(shift, border):
    # Negating logits and complementing targets changes neither the loss nor the weights, and
    # sigmoid(-x) is a small number that float64 holds with all its digits.
    logits, targets, labels = example(shift=shift)
    rois = torch.arange(len(labels))

    def mirrored(x):
        return literal_loss(-x[rois, labels], 1 - targets.double(), border, outside=1.0)

    actual = loss_and_grad(bpm_mask_loss, logits, targets, labels, border=border)
    assert_accurate(actual, loss_and_grad(mirrored, logits.double()))


@pytest.mark.parametrize("confidence", [4, 6, 8, 10, 15])
def test_a_wrong_interior_within_right_edges_keeps_its_digits(confidence):
    # The weights come from the edges, the gradient from the hole in the object, which has no edges.
    logits = torch.full((4, 1, 28, 28), -float(confidence))
    logits[..., 17:] = confidence
    logits += 0.1 * torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(4, 28, 28)
    targets[..., 17:] = 1
    targets[:, 4:24, 20:] = 0
    labels = torch.zeros(4, dtype=torch.int64)

    def literal(x):
        return literal_loss(x[:, 0], targets.double())

    actual = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    assert_accurate(actual, loss_and_grad(literal, logits.double()))


@pytest.mark.parametrize("border", BORDERS)
def test_smooth_masks_keep_their_digits(border):
    # The second difference of a smooth mask is thousands of times smaller than the mask.
    ramp = torch.linspace(-0.5, 0.5, 28)
    logits = (ramp[:, None] + 0.3 * ramp).expand(4, 1, 28, 28) * torch.rand(4, 1, 1, 1)
    targets, labels = torch.rand(4, 28, 28) < 0.5, torch.zeros(4, dtype=torch.int64)

    def literal(x):
        return literal_loss(x[:, 0], targets.double(), border)

    actual = loss_and_grad(bpm_mask_loss, logits, targets, labels, border=border)
    assert_accurate(actual, loss_and_grad(literal, logits.double()))


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("scale", "shift"), [(0.1, 0), (20, 0), (1, 30), (1, -30), (0, 7)])
def test_reference_is_the_specification(scale, shift, border):
    logits, _, labels = example(scale=scale, shift=shift)
    targets = torch.rand(len(labels), 28, 28)
    actual = loss_and_grad(bpm_mask_loss, logits, targets, labels, gain=2.5, border=border)
    expected = loss_and_grad(
        reference.bpm_mask_loss, logits.double(), targets, labels, gain=2.5, border=border
    )
    assert_accurate(actual, expected)


@pytest.mark.parametrize("value", [0.0, 100.0, -100.0])
def test_a_mask_without_edges_has_the_mean_weight(value):
    logits = torch.full((2, 1, 14, 14), value)
    targets, labels = torch.rand(2, 14, 14) < 0.5, torch.zeros(2, dtype=torch.int64)

    def plain(x):
        return 3 * F.binary_cross_entropy_with_logits(x[:, 0], targets.to(x.dtype))

    actual = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    assert all(part.isfinite().all() for part in actual)
    assert_accurate(actual, loss_and_grad(plain, logits.double()))


def test_weights_act_per_pixel_where_the_released_code_cancels_them():
    x, targets, _ = example(classes=1)
    x, targets = x.double(), targets.double()
    labels = torch.zeros(len(x), dtype=torch.int64)

    def released(logits):
        p = logits.detach().sigmoid()
        kernel = p.new_tensor([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])[None, None]
        q = F.conv2d(p, kernel, padding=1).abs()
        weights = 3 * q / q.mean(dim=(2, 3), keepdim=True)
        bce = F.binary_cross_entropy_with_logits(logits[:, 0], targets)  # reduced to its mean
        return (weights * bce).mean()

    def plain(logits):
        return 3 * F.binary_cross_entropy_with_logits(logits[:, 0], targets)

    _, released_grad = loss_and_grad(released, x)
    _, plain_grad = loss_and_grad(plain, x)
    torch.testing.assert_close(released_grad, plain_grad, rtol=1e-14, atol=0)

    _, grad = loss_and_grad(bpm_mask_loss, x.float(), targets.float(), labels, border="zeros")
    assert (grad.double() - plain_grad).norm() > 0.3 * plain_grad.norm()
    same_border = loss_and_grad(lambda logits: literal_loss(logits[:, 0], targets, "zeros"), x)[1]
    assert (grad.double() - same_border).norm() < 1e-5 * same_border.norm()


def test_zeros_border_sees_an_edge_where_the_object_touches_the_crop():
    # Everything is foreground except a faint spot in the middle.
    logits = torch.full((1, 1, 9, 9), 3.0)
    logits[0, 0, 4, 4] = 2.5
    targets, labels = torch.zeros(1, 9, 9, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    grads = {
        border: loss_and_grad(bpm_mask_loss, logits, targets, labels, border=border)[1][0, 0]
        for border in BORDERS
    }
    assert grads["replicate"][0].abs().max() == 0
    assert grads["zeros"][0].abs().min() > grads["zeros"][4, 4].abs()
