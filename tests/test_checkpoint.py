"""Checkpoints: published without the optimizer's state, loaded whole or not at all."""

import pytest
import torch
from mmengine.model import BaseTTAModel
from torch import nn

import nbseg
from nbseg.checkpoint import load_strictly, publish


def model(width=3, head="head"):
    return nn.ModuleDict({"body": nn.Linear(2, width), head: nn.Linear(width, 1)})


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    trained = model()
    content = {
        "state_dict": trained.state_dict(),
        "optimizer": {"state": {}},
        "message_hub": {"log_scalars": {}},
        "meta": {"cfg": "model = dict()", "iter": 7},
    }
    torch.save(content, tmp_path / "iter_7.pth")
    return trained, tmp_path / "iter_7.pth"


def test_published_are_weights_and_meta(saved, tmp_path):
    trained, path = saved
    out = tmp_path / "teacher.pth"
    publish(path, out)
    content = torch.load(out, weights_only=True)
    assert content["meta"] == {
        "cfg": "model = dict()",
        "iter": 7,
        "nbseg_version": nbseg.__version__,
    }
    assert set(content) == {"state_dict", "meta"}
    for name, value in trained.state_dict().items():
        assert torch.equal(content["state_dict"][name], value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["iter_7.pth", "teacher.pth"]


def test_the_same_model_is_loaded(saved, tmp_path):
    trained, path = saved
    other = model()
    load_strictly(other, path)
    for name, value in trained.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    torch.save(trained.state_dict(), tmp_path / "bare.pth")
    load_strictly(model(), tmp_path / "bare.pth")


class Views(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        raise NotImplementedError


def test_a_wrapper_gives_way_to_the_model_inside(saved):
    trained, path = saved
    other = model()
    other.test_step = None
    load_strictly(nn.DataParallel(Views(other)), path)
    for name, value in trained.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 4}, r"3 parameters are missing or of another shape \['body.weight', "),
        (
            {"head": "other"},
            r"2 parameters are missing .*other.weight.*2 are unknown .*head.weight",
        ),
    ],
)
def test_another_model_is_refused_and_left_alone(saved, options, message):
    other = model(**options)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=f"iter_7.pth is not a checkpoint of .*{message}"):
        load_strictly(other, saved[1])
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name])
