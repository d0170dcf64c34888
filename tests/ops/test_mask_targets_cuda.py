"""Compares mask targets on a GPU with the CPU, and tests their torch guarantees."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from cuda_marks import CUDA, replay, run_without_synchronization

from nbseg.ops import multires_mask_targets, reference
from nbseg.structures import CroppedMasks

pytestmark = CUDA


def example(height=120, width=170, instances=6, rois=200, seed=0):
    """Make ellipses, noise and an empty mask, and boxes near, far, off the image and of no area."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    bitmaps = np.zeros((instances, height, width), np.uint8)
    for bitmap in bitmaps[2:]:
        center, radii = rng.uniform(0, 1, 2), rng.uniform(0.05, 0.4, 2)
        bitmap[:] = (
            ((x / width - center[0]) / radii[0]) ** 2 + ((y / height - center[1]) / radii[1]) ** 2
        ) < 1
    bitmaps[1] = rng.random((height, width)) < 0.5
    corners = np.sort(rng.uniform(-0.2, 1.2, (rois, 2, 2)), axis=1) * [width, height]
    corners[::7] = corners[::7].round()
    corners[::11, 1] = corners[::11, 0]
    boxes = torch.from_numpy(corners.reshape(rois, 4).astype(np.float32))
    gt_inds = torch.from_numpy(rng.integers(instances, size=rois))
    return CroppedMasks.from_bitmaps(bitmaps), boxes, gt_inds


def on_gpu(masks, boxes, gt_inds):
    return masks.to("cuda"), boxes.cuda(), gt_inds.cuda()


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    assert all(torch.equal(a.cpu(), e.cpu()) for a, e in zip(actual, expected, strict=True))


def assert_equals_the_cpu(arguments, sizes=(28, 14)):
    """Check equality except, rarely, where the value is within 1e-4 of 0.5: both are correct."""
    actual = multires_mask_targets(*on_gpu(*arguments), sizes)
    expected = multires_mask_targets(*arguments, sizes)
    for size, target, wanted in zip(sizes, actual, expected, strict=True):
        assert target.is_cuda and target.dtype == torch.uint8
        assert target.shape == (len(arguments[1]), size, size)
        assert (target.cpu() != wanted).double().mean() <= 1e-4


@pytest.mark.parametrize("sizes", [(28, 14), (1,), (56, 7, 33), (1, 2, 3, 4, 5, 6, 7, 64)])
def test_every_size_equals_the_cpu(sizes):
    assert_equals_the_cpu(example(), sizes)


@pytest.mark.parametrize("sizes", [(28, 14), (1, 2)])  # the latter: more samples than a chunk holds
def test_a_large_image_equals_the_cpu(sizes):
    assert_equals_the_cpu(example(1024, 2048, rois=64), sizes)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (33, 1), (8, 9)])
def test_a_small_image_equals_the_cpu(height, width):
    assert_equals_the_cpu(example(height, width), (14, 5))


def test_equals_the_reference():
    arguments = example(rois=24)
    actual = multires_mask_targets(*on_gpu(*arguments))
    for target, wanted in zip(actual, reference.multires_mask_targets(*arguments), strict=True):
        assert (target.cpu() != wanted).double().mean() < 1e-3


def test_hand_computed():
    bitmap = np.zeros((1, 4, 4), np.uint8)
    bitmap[0, 1:3, 2:4] = 1
    masks = CroppedMasks.from_bitmaps(bitmap)
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 1, 4, 3], [0, 0, 2, 4]])
    (targets,) = multires_mask_targets(*on_gpu(masks, boxes, torch.zeros(3).long()), sizes=(2,))
    assert targets.tolist() == [[[0, 1], [0, 1]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]]


def test_no_roi():
    masks, boxes, gt_inds = example()
    targets = multires_mask_targets(*on_gpu(masks, boxes[:0], gt_inds[:0]))
    assert [target.shape for target in targets] == [(0, 28, 28), (0, 14, 14)]


def test_more_rois_than_a_grid_has_rows():
    masks, boxes, gt_inds = example(40, 50, rois=700)
    few = multires_mask_targets(masks, boxes, gt_inds, (3,))[0]
    many = multires_mask_targets(*on_gpu(masks, boxes.repeat(100, 1), gt_inds.repeat(100)), (3,))[
        0
    ].cpu()
    assert torch.equal(many[:700], many[-700:])
    assert (many[-700:] != few).double().mean() <= 1e-3


def test_the_same_input_gives_the_same_bits_and_nothing_waits():
    arguments = on_gpu(*example())
    wanted = multires_mask_targets(*arguments)
    assert_equal(run_without_synchronization(lambda: multires_mask_targets(*arguments)), wanted)


def test_masks_go_to_the_gpu_as_one_buffer_and_nothing_waits():
    bitmaps = np.zeros((3, 40, 50), np.uint8)
    bitmaps[0, 3:20, 5:33] = bitmaps[2, 39, 49] = 1
    masks = CroppedMasks.from_bitmaps(bitmaps)[[2, 0]]
    moved = run_without_synchronization(lambda: masks.to("cuda"))
    storages = {
        part.untyped_storage().data_ptr() for part in (moved.bits, moved.starts, moved.crops)
    }
    assert len(storages) == 1
    assert np.array_equal(moved.to_bitmaps(), bitmaps[[2, 0]])


def test_runs_on_the_current_stream():
    masks, boxes, gt_inds = on_gpu(*example())
    wanted = multires_mask_targets(masks, boxes, gt_inds)
    late = torch.zeros_like(boxes)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # on another stream, the boxes would be zeros
        late.copy_(boxes)
        actual = multires_mask_targets(masks, late, gt_inds)
    stream.synchronize()
    assert_equal(actual, wanted)


def test_captured_in_a_graph():
    arguments = on_gpu(*example())
    wanted = multires_mask_targets(*arguments)
    assert_equal(replay(lambda: multires_mask_targets(*arguments)), wanted)


def test_compiles_without_a_graph_break():
    masks, boxes, gt_inds = on_gpu(*example())

    def targets(boxes):
        return multires_mask_targets(masks, boxes + 1, gt_inds)

    assert_equal(torch.compile(targets, fullgraph=True)(boxes), targets(boxes))


def test_opcheck():
    masks, boxes, gt_inds = on_gpu(*example(rois=9))
    torch.library.opcheck(
        torch.ops.nbseg.multires_mask_targets.default,
        (masks.bits, masks.starts, masks.crops, masks.height, masks.width, boxes, gt_inds, [7, 3]),
    )


def test_more_sizes_than_a_launch_makes_are_refused():
    with pytest.raises(ValueError, match="sizes must be at most 8 on a GPU, found 9"):
        multires_mask_targets(*on_gpu(*example()), sizes=range(1, 10))


def test_masks_on_another_device_are_refused():
    masks, boxes, gt_inds = example()
    with pytest.raises(ValueError, match="masks.bits must be on cuda:0, found cpu"):
        multires_mask_targets(masks, boxes.cuda(), gt_inds.cuda())


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ("gt_inds[1] = 1", "instance >= 0 && instance < input.instances"),
        ("gt_inds[0] = -1", "instance >= 0 && instance < input.instances"),
        ("boxes[1, 0] = 7", "box[0] <= box[2] && box[1] <= box[3]"),
        ("boxes[0, 3] = float('nan')", "box[0] <= box[2] && box[1] <= box[3]"),
        ("masks.crops[0, 2] = 30", "w <= input.width - x && h <= input.height - y"),
        ("masks.starts[0] = 60", "start >= 0 && start <= input.bytes - h * stride"),
    ],
)
def test_a_wrong_value_fails_an_assert(change, failed):
    program = f"""
import numpy as np, torch
from nbseg.ops import multires_mask_targets
from nbseg.structures import CroppedMasks
masks = CroppedMasks.from_bitmaps(np.ones((1, 20, 20), np.uint8))
boxes = torch.tensor([[1.0, 2, 5, 8], [0, 0, 4, 4]])
gt_inds = torch.zeros(2, dtype=torch.int64)
{change}
multires_mask_targets(masks.to("cuda"), boxes.cuda(), gt_inds.cuda())
torch.cuda.synchronize()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode != 0
    assert failed in result.stderr and "device-side assert" in result.stderr
