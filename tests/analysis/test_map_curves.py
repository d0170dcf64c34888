"""Check the curves of the boundary-preserving map against the loss's reference and by hand."""

import numpy as np
import pytest
import torch
from bitmaps import disc

from nbseg.analysis.map_curves import EXAMPLES, MapCurves, laplacian_map
from nbseg.analysis.mask_pairs import soft_pairs
from nbseg.ops.reference import _boundary_weights
from nbseg.structures import CroppedMasks


def test_the_map_is_that_of_the_loss():
    """The loss scales the map to a mean weight."""
    logits = torch.randn(3, 14, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = _boundary_weights(logits, 3.0, "replicate").numpy()
    for soft, expected in zip(logits.sigmoid().numpy(), weights, strict=True):
        found = laplacian_map(soft.astype(np.float32))
        np.testing.assert_allclose(3 * found / found.mean(), expected, rtol=1e-4, atol=1e-5)


def test_curves_of_a_step():
    """The right half is foreground: |8 p - neighbors| is 3 x 0.8 on both sides of the step."""
    soft = np.full((1, 6, 6), 51, np.uint8)  # probability 0.2
    soft[0, :, 3:] = 255
    true = np.zeros((6, 6), np.uint8)
    true[:, 2:] = 1  # one column more than predicted
    curves = MapCurves()
    box = np.array([[0, 0, 6, 6]], np.float32)
    curves.add(soft_pairs(soft, box, CroppedMasks.from_bitmaps(true[None])))
    by_distance = {p.low: (p.cells, p.value) for p in curves.map_by_distance() if p.cells}
    assert by_distance == {
        0: (12, pytest.approx(2.4)),
        1: (12, pytest.approx(0, abs=1e-6)),
        2: (12, pytest.approx(0, abs=1e-6)),
    }
    low, high = (p for p in curves.accuracy_by_map() if p.cells)
    assert (low.low, low.cells, low.accuracy) == (0, 24, 1)
    assert (high.low, high.cells, high.accuracy) == (1.5, 12, 0.5)


def test_the_largest_objects_are_examples_and_a_mask_without_boundary_is_no_error():
    curves = MapCurves()
    sizes = [8, 20, 12, 30, 16, 24]
    bitmaps = np.stack([disc(40, 30, 20)] * len(sizes))
    boxes = np.array([[40, 30, 40 + s, 30 + s] for s in sizes], np.float32)
    soft = np.stack([np.full((28, 28), 40 * i, np.uint8) for i in range(len(sizes))])
    curves.add(soft_pairs(soft, boxes, CroppedMasks.from_bitmaps(bitmaps)))
    assert [e.area**0.5 for e in curves.examples] == sorted(sizes, reverse=True)[:EXAMPLES]
    assert sum(p.cells for p in curves.map_by_distance()) == 0
    assert sum(p.cells for p in curves.accuracy_by_map()) == soft.size
