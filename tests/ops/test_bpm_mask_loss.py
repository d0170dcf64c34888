import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nbseg.ops import bpm_mask_loss, reference

BORDERS = ("replicate", "zeros")


def literal_loss(x: Tensor, targets: Tensor, border: str = "replicate", outside: float = 0.0):
    """The definition for one channel, x (R, S, S) in float64, with a convolution."""
    p = x.detach().sigmoid()[:, None]
    mode = {"mode": "replicate"} if border == "replicate" else {"value": outside}
    kernel = p.new_tensor([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])[None, None]
    q = F.conv2d(F.pad(p, (1, 1, 1, 1), **mode), kernel).abs()[:, 0]
    weights = 3 * q / q.mean(dim=(1, 2), keepdim=True)
    return (weights * F.binary_cross_entropy_with_logits(x, targets, reduction="none")).mean()


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
    """The loss within 1e-6 and the gradient within 1e-5 (L2), relative to float64."""
    (loss, grad), (wanted_loss, wanted_grad) = actual, expected
    assert abs(loss.double() - wanted_loss) <= 1e-6 * abs(wanted_loss)
    assert (grad.double() - wanted_grad).norm() <= 1e-5 * wanted_grad.norm()


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("scale", [1e-3, 1, 8, 50])
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
    # Foreground everywhere but for a faint spot in the middle.
    logits = torch.full((1, 1, 9, 9), 3.0)
    logits[0, 0, 4, 4] = 2.5
    targets, labels = torch.zeros(1, 9, 9, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    grads = {
        border: loss_and_grad(bpm_mask_loss, logits, targets, labels, border=border)[1][0, 0]
        for border in BORDERS
    }
    assert grads["replicate"][0].abs().max() == 0
    assert grads["zeros"][0].abs().min() > grads["zeros"][4, 4].abs()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_full(dtype):
    logits, targets, labels = example(scale=4)
    logits = logits.to(dtype)
    loss, grad = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    wanted_loss, wanted_grad = loss_and_grad(bpm_mask_loss, logits.float(), targets, labels)
    assert loss.dtype == torch.float32 and loss == wanted_loss
    assert grad.dtype == dtype
    torch.testing.assert_close(grad, wanted_grad.to(dtype), rtol=0, atol=0)


def test_autocast_computes_in_full():
    logits, targets, labels = example(scale=4)
    convolved = F.conv2d(logits, torch.eye(3)[:, :, None, None])
    with torch.autocast("cpu", torch.bfloat16):
        half = F.conv2d(logits, torch.eye(3)[:, :, None, None])
        assert half.dtype == torch.bfloat16
        loss = bpm_mask_loss(half, targets, labels)
        exact = bpm_mask_loss(convolved, targets, labels)
    assert loss.dtype == torch.float32
    assert exact == bpm_mask_loss(convolved, targets, labels)


def test_targets_may_be_bool_uint8_or_float():
    logits, targets, labels = example()
    wanted = bpm_mask_loss(logits, targets, labels)
    assert bpm_mask_loss(logits, targets.to(torch.uint8), labels) == wanted
    assert bpm_mask_loss(logits, targets.float(), labels) == wanted


def test_layout_of_the_arguments_does_not_matter():
    logits, targets, labels = example()
    wanted = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    channels_last = logits.contiguous(memory_format=torch.channels_last)
    transposed = targets.transpose(1, 2).contiguous().transpose(1, 2)
    strided = torch.stack([labels, labels], dim=1)[:, 0]
    for arguments in (
        (channels_last, targets, labels),
        (logits, transposed, labels),
        (logits, targets, strided),
    ):
        assert not all(argument.is_contiguous() for argument in arguments)
        actual = loss_and_grad(bpm_mask_loss, *arguments)
        assert actual[0] == wanted[0] and torch.equal(actual[1], wanted[1])


def test_only_the_labels_channels_get_a_gradient():
    logits, targets, labels = example()
    _, grad = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    others = torch.ones(len(labels), 3, dtype=torch.bool)
    others[torch.arange(len(labels)), labels] = False
    assert grad[others].count_nonzero() == 0
    assert grad[~others].flatten(1).norm(dim=1).min() > 0


def test_no_roi_gives_zero_with_a_graph():
    logits = torch.randn(0, 3, 28, 28, requires_grad=True)
    targets, labels = torch.zeros(0, 28, 28), torch.zeros(0, dtype=torch.int64)
    loss = bpm_mask_loss(logits * 2, targets, labels)
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape


def test_the_number_of_threads_does_not_matter():
    logits, targets, labels = example(rois=37)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(loss_and_grad(bpm_mask_loss, logits, targets, labels))
    finally:
        torch.set_num_threads(threads)
    assert all(loss == results[0][0] for loss, _ in results)
    assert all(torch.equal(grad, results[0][1]) for _, grad in results)


def test_a_nan_is_not_hidden():
    logits, targets, labels = example()
    logits[0, labels[0], 3, 3] = torch.nan
    assert bpm_mask_loss(logits, targets, labels).isnan()


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
def test_opcheck(dtype, requires_grad):
    logits, targets, labels = example(size=7)
    arguments = (logits.requires_grad_(requires_grad), targets.to(dtype), labels, 3.0, "zeros")
    torch.library.opcheck(torch.ops.nbseg.bpm_mask_loss.default, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_opcheck_backward(dtype):
    arguments = (torch.tensor(2.0), torch.randn(4, 7, 7), torch.tensor([0, 2, 1, 2]), 3, dtype)
    torch.library.opcheck(torch.ops.nbseg.bpm_mask_loss_backward.default, arguments)


def test_compiles_without_a_graph_break():
    logits, targets, labels = example()

    def loss(x):
        return 2 * bpm_mask_loss(x.tanh(), targets, labels, border="zeros")

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    actual, expected = loss_and_grad(compiled, logits), loss_and_grad(loss, logits)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"logits": [1.0]}, TypeError, "logits must be a torch.Tensor, found list"),
        (
            {"logits": torch.zeros(2, 3, 7, 7, dtype=torch.float64)},
            TypeError,
            "logits must be float32 or float16 or bfloat16, found float64",
        ),
        (
            {"logits": torch.zeros(2, 7, 7)},
            ValueError,
            r"logits must have shape \(R, C, S, S\), found \(2, 7, 7\)",
        ),
        (
            {"logits": torch.zeros(2, 3, 7, 6)},
            ValueError,
            "logits must have square masks, found 7 x 6",
        ),
        (
            {"targets": torch.zeros(2, 7, 7, dtype=torch.int64)},
            TypeError,
            "targets must be uint8 or bool or float32, found int64",
        ),
        (
            {"targets": torch.zeros(2, 14, 14)},
            ValueError,
            r"targets must have shape \(2, 7, 7\), found \(2, 14, 14\)",
        ),
        (
            {"targets": torch.zeros(2, 7, 7, device="meta")},
            ValueError,
            "targets must be on cpu, found meta",
        ),
        ({"labels": torch.zeros(2)}, TypeError, "labels must be int64, found float32"),
        (
            {"labels": torch.zeros(3, dtype=torch.int64)},
            ValueError,
            r"labels must have shape \(2,\), found \(3,\)",
        ),
        (
            {"labels": torch.tensor([0, 3])},
            IndexError,
            r"labels\[1\] must be in \[0, 3\), found 3",
        ),
        (
            {"labels": torch.tensor([-1, 0])},
            IndexError,
            r"labels\[0\] must be in \[0, 3\), found -1",
        ),
        ({"border": "reflect"}, ValueError, 'border must be "replicate" or "zeros", found'),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    arguments = {
        "logits": torch.zeros(2, 3, 7, 7),
        "targets": torch.zeros(2, 7, 7),
        "labels": torch.zeros(2, dtype=torch.int64),
    }
    with pytest.raises(error, match=message):
        bpm_mask_loss(**{**arguments, **change})
