"""Checkpoints: read as data, published without optimizer state, loaded whole or not at all."""

import pickle
import random
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseTTAModel
from mmengine.runner import CheckpointLoader
from torch import nn

import nbseg
from nbseg.checkpoint import load_strictly, publish, read_checkpoint
from nbseg.config.online import published_part
from nbseg.errors import StageError


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


@pytest.mark.parametrize("part", ["teacher", "student"])
def test_one_part_of_an_online_method_is_published(tmp_path, part):
    both = nn.ModuleDict({"teacher": model(), "student": model()})
    path, out = tmp_path / "iter_7.pth", tmp_path / "student.pth"
    torch.save({"state_dict": both.state_dict(), "meta": {"cfg": "both"}}, path)
    method = {"type": "OnlineTeacher", "detector": {}, "predict_on": part}
    publish(path, out, published_part(method), "one")
    content = torch.load(out, weights_only=True)
    assert content["meta"]["cfg"] == "one"
    other = model()
    load_strictly(other, out)
    for name, value in both[part].state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert published_part({"type": "MaskRCNN"}) is None


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
        (
            {"width": 4},
            "3 of the model's 4 tensors are missing or have another shape, such as body.weight, ",
        ),
        (
            {"head": "other"},
            "2 of the model's 4 tensors are missing .*other.weight.*no tensor for 2 tensors of "
            "the file, such as .*head.weight",
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


class RunsCode:
    ran = False

    def __reduce__(self):
        return setattr, (RunsCode, "ran", True)


def saved_bytes(path, content, **options):
    torch.save(content, path, **options)
    return bytearray(path.read_bytes())


def damaged(path, kind):
    whole = saved_bytes(path, {"state_dict": {"weight": torch.ones(1000)}})
    changed = whole.replace(torch.ones(4).numpy().tobytes(), b"\0" * 16, 1)
    return {
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "half": whole[: len(whole) // 2],
        "most": whole[:-20],
        "changed": changed,
        "empty": b"",
        "page": b"\n<!DOCTYPE html><html></html>",
        "json": b'{"weights": 1}',
        "picture": b"\x89PNG\r\n\x1a\n",
        "pickle": pickle.dumps({"weights": 1}, protocol=2),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("pointer", "a Git LFS pointer; run `git lfs pull`"),
        ("half", "truncated or damaged; copy or download it again"),
        ("most", "truncated or damaged"),
        ("changed", "truncated or damaged"),
        ("empty", r"empty \(0 bytes\)"),
        ("page", "a web page; download the file"),
        ("json", "a json file; name a .pth file"),
        ("picture", "not a PyTorch checkpoint"),
        ("pickle", "not a PyTorch checkpoint"),
    ],
)
def test_a_damaged_file_is_named_with_the_reason(tmp_path, kind, reason):
    path = tmp_path / "weights.pth"
    path.write_bytes(damaged(path, kind))
    expected = f"weights.pth cannot be loaded: it is {reason}"
    with pytest.raises(StageError, match=expected):
        read_checkpoint(path)
    with pytest.raises(StageError, match=expected):
        CheckpointLoader.load_checkpoint(str(path))  # as MMEngine's runner and init_cfg do
    with pytest.raises(StageError, match=expected):
        load_strictly(model(), path)


def test_absent_files_folders_and_names(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint .*none.pth; correct the path"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(StageError, match="it is a folder; name a .pth file in it"):
        read_checkpoint(tmp_path)
    with pytest.raises(StageError, match="open-mmlab://nothing .*lists no weights of this name"):
        CheckpointLoader.load_checkpoint("open-mmlab://nothing")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(StageError, match="holds a list; expected a dictionary that maps names to"):
        read_checkpoint(tmp_path / "list.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_runs_only_if_the_user_trusts_it(tmp_path, monkeypatch, zipped):
    monkeypatch.setattr(RunsCode, "ran", False)
    path = tmp_path / "foreign.pth"
    saved_bytes(path, {"state_dict": {}, "x": RunsCode()}, _use_new_zipfile_serialization=zipped)
    for read in (read_checkpoint, lambda p: CheckpointLoader.load_checkpoint(str(p))):
        with pytest.raises(StageError, match=r"Python objects \(setattr\).*can run any code.*=1"):
            read(path)
    assert not RunsCode.ran
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    read_checkpoint(path)
    assert RunsCode.ran


def test_getattr_reaches_nothing_but_the_methods_of_a_history(tmp_path):
    class Reaches:
        def __reduce__(self):
            return getattr, (HistoryBuffer, "__init__")

    torch.save({"x": Reaches()}, tmp_path / "x.pth")
    with pytest.raises(StageError, match="__init__"):
        read_checkpoint(tmp_path / "x.pth")


def test_what_training_checkpoints_hold_is_data(tmp_path):
    hub = MessageHub("checkpoints")
    hub.update_scalar("train/loss", 0.5)
    hub.update_scalar("train/loss", 0.25)
    states = {"python": random.getstate(), "numpy": np.random.get_state()}  # noqa: NPY002
    content = {"message_hub": hub.state_dict(), "states": states, "score": np.float64(0.5)}
    content["args"] = Namespace(lr=0.1)  # in files of DETR, MAE and others
    torch.save(content, tmp_path / "iter_1.pth")
    read = read_checkpoint(tmp_path / "iter_1.pth")
    history = read["message_hub"]["log_scalars"]["train/loss"]
    assert history.current() == 0.25 and history.mean() == 0.375
    assert read["states"]["python"] == states["python"]
    assert (read["states"]["numpy"][1] == states["numpy"][1]).all()
    assert read["score"] == 0.5 and read["args"].lr == 0.1


def test_on_a_full_disk_the_published_file_stays(saved, tmp_path, file_size_limit):
    out = tmp_path / "teacher.pth"
    out.write_bytes(b"former")
    with file_size_limit(1000), pytest.raises(OSError, match=r"File too large: .*teacher\.pth"):
        publish(saved[1], out)
    assert out.read_bytes() == b"former"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_neither_published_nor_loaded(saved, tmp_path, value):
    content = read_checkpoint(saved[1])
    content["state_dict"]["body.bias"][1] = value
    torch.save(content, saved[1])
    message = r"iter_7.pth holds NaN or infinite weights in 1 of 4 tensors, such as body.bias"
    with pytest.raises(StageError, match=message):
        publish(saved[1], tmp_path / "teacher.pth")
    assert not (tmp_path / "teacher.pth").exists()
    with pytest.raises(StageError, match=message):
        load_strictly(model(), saved[1])
