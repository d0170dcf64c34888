"""Weights to start from: compared by name and shape, loaded if they fit, refused otherwise."""

import pytest
import torch
from mmdet.models.backbones import MobileNetV2, ResNet
from mmdet.utils import register_all_modules
from torch import nn

from nbseg.errors import StageError
from nbseg.models.pretrained_weights import load_matching


@pytest.fixture(scope="module", autouse=True)
def mmdet_scope():
    register_all_modules()


# ResNet-18 has 20 convolutions and 20 batch normalizations of 4 tensors each, ResNet-34 has 36.
def resnet(depth=18, channels=8, **options):
    return ResNet(depth, base_channels=channels, stem_channels=channels, **options)


def started_from(path, content, backbone=resnet, **init):
    """Initialize a backbone from a file with this content, as a run does."""
    torch.save(content, path)
    model = backbone(init_cfg=dict(type="Pretrained", checkpoint=str(path), **init))
    model.init_weights()
    return model


def prefixed(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


HEAD = {"fc.weight": torch.ones(1000, 64), "fc.bias": torch.ones(1000)}
FORMS = {
    "bare": lambda state: state,
    "classifier": lambda state: {"state_dict": {**state, **HEAD}},
    "of MMPretrain": lambda state: {"state_dict": prefixed("backbone.", state), "meta": {}},
    "of DataParallel": lambda state: {"model": prefixed("module.", state), "epoch": 3},
    "detector of DataParallel": lambda state: {
        "model": {
            **prefixed("module.backbone.", state),
            "module.neck.conv.weight": torch.ones(2, 2, 1, 1),
        }
    },
    "encoder": lambda state: {"state_dict": prefixed("encoder_q.", state)},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_backbone_is_found_in_the_usual_files(tmp_path, form):
    state = resnet().state_dict()
    model = started_from(tmp_path / "weights.pth", FORMS[form](state))
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


# The first names of torchvision's and timm's MobileNetV2, in place of those of MMDetection.
TORCHVISION = {
    "features.0.0.weight": torch.ones(32, 3, 3, 3),
    "features.0.1.weight": torch.ones(32),
    "features.0.1.bias": torch.ones(32),
    "features.0.1.running_mean": torch.ones(32),
    "features.0.1.running_var": torch.ones(32),
}
TIMM = {"conv_stem.weight": torch.ones(32, 3, 3, 3), "bn1.weight": torch.ones(32)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            TORCHVISION,
            r"weights.pth does not fit the MobileNetV2: 0 of the model's 260 tensors match by name "
            r"and shape \(needed: 90%\). The file has, for example, features.0.0.weight "
            r"\(32, 3, 3, 3\); the model expects conv1.conv.weight \(32, 3, 3, 3\). The file's "
            r"names are torchvision's: convert the file, for example with a script from "
            "MMPretrain's tools/model_converters. Set backbone_weights to a MobileNetV2 checkpoint "
            "from MMPretrain, MMDetection or nbseg",
        ),
        ({"state_dict": TIMM}, "0 of the model's 260 .*The file's names are timm's"),
        ({"model": {"backbone.bottom_up.stem.w": torch.ones(1)}}, "names are Detectron2's"),
        (
            {"epoch": 3, "args": {}},
            r"expected tensors by name, found the keys \['epoch', 'args'\]",
        ),
        ({"state_dict": {}}, r"expected tensors by name, found the keys \[\]"),
    ],
)
def test_the_weights_of_another_library_are_refused(tmp_path, content, message):
    with pytest.raises(StageError, match=message):
        started_from(tmp_path / "weights.pth", content, MobileNetV2)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (resnet(channels=16), "20 of .*|0 of .*tensors match.*another width or depth"),
        (resnet(34), "100 of the model's 100 .* match .*; 80 tensors of the file are not in the"),
        (resnet(34), r"The file's model is deeper: the file also has, .* layer1.2.conv1.weight \("),
        (resnet(50), "another width or depth|are not in the model"),
        (MobileNetV2(), "0 of the model's 100 tensors match"),
    ],
)
def test_another_architecture_is_refused(tmp_path, file, message):
    with pytest.raises(StageError, match=message):
        started_from(tmp_path / "weights.pth", file.state_dict())


def test_a_shallower_backbone_is_refused(tmp_path):
    state = resnet(18).state_dict()
    message = "100 of the model's 180 tensors match.*the model expects layer1.2.conv1.weight"
    with pytest.raises(StageError, match=message):
        started_from(tmp_path / "weights.pth", state, lambda **init: resnet(34, **init))


def test_several_models_that_fit_are_refused_and_a_prefix_chooses(tmp_path):
    first, second = resnet().state_dict(), resnet().state_dict()
    content = {**prefixed("student.backbone.", first), **prefixed("teacher.backbone.", second)}
    message = "prefixes 'student.backbone.', 'teacher.backbone.'. Choose"
    with pytest.raises(StageError, match=message):
        started_from(tmp_path / "both.pth", content)
    model = started_from(tmp_path / "both.pth", content, prefix="teacher.backbone")
    assert torch.equal(model.conv1.weight, second["conv1.weight"])
    assert not torch.equal(model.conv1.weight, first["conv1.weight"])


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = resnet().state_dict()
    state["layer1.0.bn1.running_var"][3] = float("nan")
    with pytest.raises(StageError, match="NaN or infinite weights in 1 of .*bn1.running_var"):
        started_from(tmp_path / "weights.pth", state)


def test_a_few_new_tensors_are_named(tmp_path, log):
    state = resnet().state_dict()
    new = state.pop("layer2.1.conv1.weight")
    started_from(tmp_path / "weights.pth", state)
    file = tmp_path / "weights.pth"
    text = f"1 of 100 tensors of the ResNet keep their initial values, because {file} has no "
    text += "tensors of the same names and shapes; for example layer2.1.conv1.weight "
    text += f"{tuple(new.shape)}"
    assert text in log.text


class Detector(nn.Module):
    def __init__(self, classes=3, depth=18):
        super().__init__()
        self.backbone = resnet(depth)
        self.head = nn.Linear(4, classes)


def load_from(detector, content):
    return load_matching(detector, content, "file.pth", "the model", "the advice")


def test_a_detector_of_other_classes_keeps_its_own_head(log):
    trained, detector = Detector(classes=80), Detector()
    before = detector.head.weight.clone()
    named = load_from(detector, {"state_dict": prefixed("module.", trained.state_dict())})
    assert set(named) == set(trained.state_dict())
    assert torch.equal(detector.backbone.conv1.weight, trained.backbone.conv1.weight)
    assert torch.equal(detector.head.weight, before)
    text = "2 of 102 tensors of the model keep their initial values, because file.pth has no "
    assert f"{text}tensors of the same names and shapes; for example head.weight" in log.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            resnet().state_dict(),
            "The file has only a backbone: pass the file as backbone_weights=FILE. the",
        ),
        (Detector(depth=34).state_dict(), "102 of .*102 .* match .*; .* are not in the model"),
        (MobileNetV2().state_dict(), "0 of the model's 102 tensors match.*the advice"),
    ],
)
def test_a_file_that_is_no_such_detector_is_refused(content, message):
    with pytest.raises(StageError, match=f"file.pth does not fit the model: .*{message}"):
        load_from(Detector(), content)


def test_default_weights_are_in_the_lists_of_mmengine(repository):
    """The names in configs, such as torchvision://resnet50, without a download."""
    import re
    from pathlib import Path

    import mmengine

    hub = Path(mmengine.__file__).parent / "hub"
    lists = {
        "torchvision": mmengine.load(hub / "torchvision_0.12.json"),
        "open-mmlab": mmengine.load(hub / "openmmlab.json"),
    }
    pattern = re.compile(r"['\"](torchvision|open-mmlab)://([^'\"]+)")
    found = {
        match.groups()
        for path in (repository / "configs").rglob("*.py")
        for match in pattern.finditer(path.read_text())
    }
    assert {("torchvision", "resnet50"), ("open-mmlab", "mmdet/mobilenet_v2")} <= found
    assert all(name in lists[scheme] for scheme, name in found)
