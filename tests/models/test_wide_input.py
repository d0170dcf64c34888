"""Backbones for images with more than three channels."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import nn

from nbseg.models.pretrained_weights import load_matching
from nbseg.models.wide_input import WideDataPreprocessor, WideInput, widened

MOBILENET = {"narrow_type": "MobileNetV2", "out_indices": (1, 2)}
RESNET = {"narrow_type": "ResNet", "depth": 18, "base_channels": 8, "stem_channels": 8}


@pytest.mark.parametrize("backbone", [MOBILENET, RESNET], ids=["MobileNetV2", "ResNet"])
def test_equal_channels_give_the_features_of_the_narrow_backbone(backbone):
    torch.manual_seed(0)
    kind = {"type": backbone["narrow_type"], **backbone}
    kind.pop("narrow_type")
    narrow = MODELS.build(kind)
    narrow.eval()
    wide = MODELS.build({"type": "WideInput", "in_channels": 5, **backbone})
    wide.eval()
    assert list(wide.state_dict()) == list(narrow.state_dict())
    content = {f"backbone.{name}": value for name, value in narrow.state_dict().items()}
    load_matching(wide, content, "narrow.pth", "the backbone", "")
    gray = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        expected, found = narrow(gray.repeat(1, 3, 1, 1)), wide(gray.repeat(1, 5, 1, 1))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_its_own_weights_are_loaded_as_they_are():
    wide, other = (WideInput(4, **MOBILENET) for _ in range(2))
    other.load_state_dict(wide.state_dict())
    for ours, theirs in zip(wide.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_filters_are_repeated_means():
    weight = torch.arange(2 * 3 * 1.0).reshape(2, 3, 1, 1)
    assert widened(weight, 6).flatten(1).tolist() == [[0.5] * 6, [2.0] * 6]


def test_wrong_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="in_channels must be at least 1, found 0"):
        WideInput(0, **MOBILENET)


def test_another_first_layer_is_refused():
    @MODELS.register_module(force=True)
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 2)

    with pytest.raises(ValueError, match="first layer of Flat must be a convolution of three"):
        WideInput(4, "Flat")


def test_each_channel_is_normalized():
    mean, std = [1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 4.0, 3.0, 2.0, 1.0]
    preprocessor = WideDataPreprocessor(mean=mean, std=std, pad_size_divisor=32)
    image = torch.randint(0, 256, (5, 20, 30), dtype=torch.uint8)
    sample = DetDataSample(metainfo={"img_shape": (20, 30)})
    found = preprocessor({"inputs": [image], "data_samples": [sample]})["inputs"]
    assert found.shape == (1, 5, 32, 32)
    expected = (image.float() - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[
        :, None, None
    ]
    assert torch.equal(found[0, :, :20, :30], expected) and not found[0, :, 20:].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": [0.0] * 4, "std": [1.0] * 3}, "found 4 values in mean and 3 values in std"),
        ({"mean": [0.0] * 4, "std": [1.0] * 4, "bgr_to_rgb": True}, "cannot swap red and blue"),
    ],
)
def test_a_wrong_preprocessor_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WideDataPreprocessor(**arguments)
