"""Create inputs of the boundary-preserving loss and compare its results."""

import torch

BORDERS = ("replicate", "zeros")


def example(rois=6, classes=3, size=28, scale=1.0, shift=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(rois, classes, size, size, generator=generator) + shift
    targets = torch.rand(rois, size, size, generator=generator) < 0.4
    labels = torch.randint(classes, (rois,), generator=generator)
    return logits.clamp(-50, 50), targets, labels


def loss_and_grad(function, logits, *args, **kwargs):
    logits = logits.detach().clone().requires_grad_()
    loss = function(logits, *args, **kwargs)
    (grad,) = torch.autograd.grad(loss, logits)
    return loss.detach(), grad


def assert_accurate(actual, expected):
    """Check the loss to 1e-6 and the gradient to 1e-5 (L2), relative to float64 results."""
    (loss, grad), (wanted_loss, wanted_grad) = actual, expected
    assert abs(loss.double() - wanted_loss) <= 1e-6 * abs(wanted_loss)
    assert (grad.double() - wanted_grad).norm() <= 1e-5 * wanted_grad.norm()
