"""Compares the native ops with float64 Python on arbitrary tensors, extreme values included."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn.functional import binary_cross_entropy_with_logits

from nbseg.ops import bpm_mask_loss, multires_mask_targets, paste_rle, reference
from nbseg.structures import CroppedMasks

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def strided(tensor):
    """Return a view with equal values that is not contiguous."""
    return torch.stack([tensor, tensor], dim=-1)[..., 0]


@st.composite
def loss_inputs(draw, rounded):
    rois, classes, size = (draw(st.integers(low, 6)) for low in (0, 1, 1))
    span = draw(st.sampled_from([1, 20, 200, 2.0**100]))
    shape = (rois, classes, size, size)
    logits = draw(arrays(np.float32, shape, elements=st.floats(-span, span, width=32)))
    if rounded:  # logits that differ by a rounding error have an edge in float64 alone
        logits = np.round(logits * 64) / 64
    targets = draw(arrays(np.float32, (rois, size, size), elements=st.floats(0, 1, width=32)))
    labels = draw(arrays(np.int64, (rois,), elements=st.integers(0, classes - 1)))
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
    kind = draw(st.sampled_from([torch.float32, torch.uint8, torch.bool]))
    tensors = [
        torch.from_numpy(logits).clamp(-6e4, 6e4).to(dtype),
        torch.from_numpy(targets).to(kind),
        torch.from_numpy(labels),
    ]
    return [strided(t) if draw(st.booleans()) else t for t in tensors]


def exact_loss(logits, targets, labels, border):
    """Return the reference's loss; by hand in flat RoIs, whose weights are all the gain of 3.

    torch's sigmoid may differ in its last digit between equal logits, which gives the reference an
    edge in a flat RoI.
    """
    total = 0 * logits.sum()
    for r, label in enumerate(labels.tolist()):
        x, target = logits[r, label], targets[r].to(logits.dtype)
        if border == "replicate" and (x == x[0, 0]).all():
            total = total + 3 * binary_cross_entropy_with_logits(x, target)
        else:
            one = slice(r, r + 1)
            total = total + reference.bpm_mask_loss(
                logits[one], targets[one], labels[one], border=border
            )
    return total / max(len(labels), 1)


@given(loss_inputs(rounded=False), st.sampled_from(["replicate", "zeros"]))
def test_loss_and_gradient_are_finite(inputs, border):
    logits, targets, labels = inputs
    logits = logits.detach().requires_grad_()
    loss = bpm_mask_loss(logits, targets, labels, border=border)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


@given(loss_inputs(rounded=True), st.sampled_from(["replicate", "zeros"]))
def test_loss_equals_float64(inputs, border):
    logits, targets, labels = inputs
    logits = logits.detach().requires_grad_()
    exact = logits.detach().double().requires_grad_()
    loss = bpm_mask_loss(logits, targets, labels, border=border)
    wanted = exact_loss(exact, targets, labels, border)
    loss.backward()
    wanted.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    # torch's float64 loss multiplies a logit by the rounded 1 - target.
    rounding = 3 * 2.0**-52 * exact.detach().abs().max() if exact.numel() else 0.0
    assert abs(loss.double() - wanted) <= 1e-5 * abs(wanted) + 1e-12 + rounding
    step = 2.0**-7 if logits.dtype == torch.bfloat16 else 1e-3
    error = (logits.grad.double() - exact.grad).abs().max() if logits.numel() else 0.0
    most = exact.grad.abs().max() if logits.numel() else 0.0
    # Values below float16's smallest become 0.
    assert error <= (1e-4 if logits.dtype == torch.float32 else step) * most + 6e-8


@st.composite
def boxes_near(draw, height, width, count):
    spans = st.one_of(st.floats(-0.5, 1.5, width=32), st.sampled_from([0.0, 0.5, 1.0, -1e4, 1e4]))
    corners = draw(arrays(np.float32, (count, 2, 2), elements=spans))
    corners = np.sort(corners * np.float32([width, height]), axis=1)
    return corners.reshape(count, 4)


@given(st.data())
def test_mask_targets_equal_the_reference(data):
    height, width = (data.draw(st.integers(1, 24)) for _ in range(2))
    instances, rois = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 4))
    bitmaps = data.draw(arrays(np.uint8, (instances, height, width), elements=st.integers(0, 1)))
    boxes = torch.from_numpy(data.draw(boxes_near(height, width, rois)))
    chosen = data.draw(arrays(np.int64, (rois,), elements=st.integers(0, instances - 1)))
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    masks = CroppedMasks.from_bitmaps(bitmaps)
    inds = torch.from_numpy(chosen)
    actual = multires_mask_targets(masks, strided(boxes), strided(inds), sizes)
    for size, found in zip(sizes, actual, strict=True):
        soft = soft_targets(bitmaps, boxes, chosen, size)
        decided = np.abs(soft - 0.5) > 1e-4
        assert found.shape == (rois, size, size)
        assert np.array_equal(found.numpy()[decided], (soft >= 0.5)[decided])


def soft_targets(bitmaps, boxes, chosen, size):
    """Average samples of bilinear interpolation, one a pixel, as RoIAlign is defined."""
    height, width = bitmaps.shape[1:]
    soft = np.zeros((len(boxes), size, size))
    for r, (x0, y0, x1, y1) in enumerate(boxes.numpy()):
        x0, x1 = np.clip([x0, x1], 0, width).astype(np.float32) - np.float32(0.5)
        y0, y1 = np.clip([y0, y1], 0, height).astype(np.float32) - np.float32(0.5)
        rows, columns = weights(y0, y1, size, height), weights(x0, x1, size, width)
        soft[r] = rows @ bitmaps[chosen[r]].astype(float) @ columns.T
    return soft


def weights(start, end, size, extent):
    step = np.float32(np.float32(end - start) / np.float32(size))
    samples = int(np.ceil(step))
    found = np.zeros((size, extent))
    for b in range(size):
        for i in range(samples):
            place = np.clip(start + (b + (i + 0.5) / samples) * float(step), 0, extent - 1)
            low = int(place)
            found[b, low] += (1 - (place - low)) / samples
            found[b, min(low + 1, extent - 1)] += (place - low) / samples
    return found


@given(st.data())
def test_pasted_masks_equal_mmdetection(data):
    height, width = (data.draw(st.integers(1, 24)) for _ in range(2))
    count, side = data.draw(st.integers(0, 3)), data.draw(st.integers(1, 7))
    soft = data.draw(arrays(np.uint8, (count, side, side)))
    boxes = data.draw(boxes_near(height, width, count))
    threshold = data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    actual = paste_rle(soft, boxes, height, width, threshold)
    assert actual == reference.paste_rle(soft, boxes, height, width, threshold)
