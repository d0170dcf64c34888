"""Read checkpoints without running code, publish their weights, and load weights strictly.

Importing this module also replaces MMEngine's loaders of checkpoints. MMEngine's own loaders
unpickle any Python object, which can run code. The new loaders run no code, unless the environment
variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is 1.
"""

import io
import os
import re
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import mmengine
import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_from_http, load_from_mmcls, load_from_openmmlab
from torch import nn

import nbseg
from nbseg.errors import StageError
from nbseg.files import replacing

# Environment variable of PyTorch. If it is 1, PyTorch also runs code in checkpoints, so set it to 1
# only for checkpoints from a trusted source.
TRUST = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
FORMATS = {
    b"version https://git-lfs": "it is a Git LFS pointer; run `git lfs pull` to get the file",
    b"PK\x03\x04": "it is truncated or damaged; copy or download it again",
    b"<": "it is a web page; download the file that the page links to",
    b"{": "it is a json file; name a .pth file",
    b"[": "it is a json file; name a .pth file",
    b"": "it is not a PyTorch checkpoint, or it is damaged; copy it again or name another file",
}


def _history_method(owner: Any, name: str) -> Any:
    """Return a public method of ``HistoryBuffer``, and refuse anything else.

    Pickles that ask for ``getattr`` get this function instead, so that they cannot run other code.
    """
    if owner is not HistoryBuffer or name.startswith("_"):
        kind = owner if isinstance(owner, type) else type(owner)
        # _reason finds the name after GLOBAL, as in PyTorch's own messages.
        raise UnpicklingError(f"GLOBAL {kind.__module__}.{kind.__qualname__}.{name}")
    return getattr(owner, name)


# Types that checkpoints hold in addition to tensors: MMEngine's curves, counters and random states,
# and the command lines of other programs. MMEngine's own list of allowed types is not used: with
# this list, a checkpoint can make any call of getattr.
_multiarray = getattr(np, "_core", None) or np.core
SAFE_GLOBALS: list[Any] = [
    Namespace,
    HistoryBuffer,
    np.dtype,
    np.ndarray,
    *{type(np.dtype(name)) for name in ("?", "u1", "i4", "u4", "i8", "u8", "f4", "f8")},
    (_history_method, "builtins.getattr"),
    *(
        (getattr(_multiarray.multiarray, name), f"numpy.{package}.multiarray.{name}")
        for name in ("_reconstruct", "scalar")
        for package in ("core", "_core")  # NumPy 1 and 2
    ),
]


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Return the content of a checkpoint file without running code from the file.

    There is one exception: if the environment variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is 1,
    PyTorch runs code that the file contains.

    Args:
        path: ``.pth`` file.
        map_location: as in ``torch.load``.

    Raises:
        FileNotFoundError: the file does not exist.
        StageError: the file is damaged, is not a PyTorch checkpoint, does not hold a dictionary, or
            contains Python objects that are not allowed. Tensors, plain values and the types in
            ``SAFE_GLOBALS`` are allowed. The message names the file and says what to do.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}; correct the path")
    with _as_data(path):
        if zipfile.is_zipfile(path):
            _refuse_changed_bytes(path)
        content = torch.load(path, map_location=map_location, weights_only=not _trusted())
    if not isinstance(content, dict):
        raise StageError(
            f"{path} holds a {type(content).__name__}; expected a dictionary that maps names to "
            "tensors. Save the model's state_dict()"
        )
    return content


def _trusted() -> bool:
    return os.getenv(TRUST, "0").lower() in ("1", "y", "yes", "true")


def _refuse_changed_bytes(path: Path) -> None:
    # PyTorch writes checksums, but does not compare them.
    with zipfile.ZipFile(path) as archive:
        changed = archive.testzip()
    if changed:
        raise zipfile.BadZipFile(changed)


@contextmanager
def _as_data(name: str | Path) -> Iterator[None]:
    """Restrict ``torch.load`` in a ``with`` block to tensors, plain data and ``SAFE_GLOBALS``.

    Errors in the block are raised as a StageError that contains ``name``. If the environment
    variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is 1, nothing is restricted.
    """
    previous = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    if not _trusted():
        # MMEngine and torch.hub pass weights_only=False; the variable takes precedence.
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS):
            yield
    except Exception as error:
        if isinstance(error, StageError | torch.OutOfMemoryError):
            raise
        raise StageError(f"{name} cannot be loaded: {_reason(name, error)}") from error
    finally:
        if previous is not None:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = previous
        else:
            os.environ.pop("TORCH_FORCE_WEIGHTS_ONLY_LOAD", None)


def _reason(name: str | Path, error: Exception) -> str:
    path = Path(name)
    objects = re.findall(r"GLOBAL ([\w.]+)", str(error))
    if isinstance(error, UnpicklingError) and objects:
        return (
            f"it contains Python objects ({objects[0]}). Loading these objects can run any code "
            "that the file contains. Save only the state_dict. If you trust the source of the "
            f"file, you can instead set the environment variable {TRUST}=1"
        )
    if not path.exists():
        what = "MMEngine lists no weights of this name" if isinstance(error, KeyError) else error
        return f"{what}; download the file, and name it in the config, as by backbone_weights=FILE"
    if path.is_dir():
        return "it is a folder; name a .pth file in it"
    if path.stat().st_size == 0:
        return "it is empty (0 bytes); copy or download it again"
    if isinstance(error, PermissionError):
        return "you have no permission to read it; change its permissions"
    if zipfile.is_zipfile(path) and not isinstance(error, zipfile.BadZipFile):
        return str(error)
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    return next(reason for begin, reason in FORMATS.items() if start.startswith(begin))


def publish(
    checkpoint: str | Path, out: str | Path, part: str | None = None, config: str | None = None
) -> None:
    """Write the weights and the meta data of a training checkpoint, but not its optimizer state.

    The file is written under a temporary name and renamed when it is complete.

    Args:
        checkpoint: file that the training wrote.
        out: file to write.
        part: name of a submodule, such as ``"teacher"``. Only the weights of this submodule are
            written, without the prefix ``teacher.`` in their names. None writes all weights.
        config: text that replaces the config in the meta data; None keeps the training's config.

    Raises:
        FileNotFoundError: the checkpoint does not exist.
        StageError: the checkpoint is damaged, or some weights are not finite.
    """
    content = read_checkpoint(checkpoint)
    state = content["state_dict"]
    if part is not None:
        start = f"{part}."
        state = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    refuse_non_finite(state, checkpoint)
    meta = {**content["meta"], "nbseg_version": nbseg.__version__}
    if config is not None:
        meta["cfg"] = config
    # Write via memory: if the disk is full, torch.save to a file raises a RuntimeError that does
    # not name the cause.
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "meta": meta}, buffer)
    with replacing(out) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def refuse_non_finite(state: dict[str, Any], source: str | Path) -> None:
    """Refuse weights that contain NaN or infinite values.

    Args:
        state: tensors by name.
        source: file or description of the weights, for the message.

    Raises:
        StageError: some weights are not finite.
    """
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        raise StageError(
            f"{source} holds NaN or infinite weights in {len(bad)} of {len(tensors)} tensors, such "
            f"as {bad[0]}. The training diverged; train again with a lower learning rate, or with "
            "optim_wrapper.clip_grad"
        )


def load_strictly(model: nn.Module, checkpoint: str | Path) -> None:
    """Load a checkpoint whose tensors fit the model exactly, and refuse any other checkpoint.

    If ``model`` is one of MMEngine's wrappers (DDP or TTA), the wrapped model gets the weights.

    Raises:
        FileNotFoundError: the checkpoint does not exist.
        StageError: the checkpoint is damaged, belongs to another model, or has weights that are
            not finite.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = getattr(model, "module")  # noqa: B009  a submodule, which mypy takes for a Tensor
    content = read_checkpoint(checkpoint)
    state = content.get("state_dict", content)
    refuse_other_model(model, state, checkpoint)
    refuse_non_finite(state, checkpoint)
    model.load_state_dict(state)


def refuse_other_model(model: nn.Module, state: dict[str, Any], source: str | Path) -> None:
    """Refuse weights whose names or shapes differ from those of the model's tensors.

    Args:
        model: the model that is to get the weights.
        state: tensors by name.
        source: file of the weights, for the message.

    Raises:
        StageError: names or shapes differ. The message names up to three tensors that are missing
            or have another shape, and up to three tensors that the model does not have.
    """
    expected = model.state_dict()
    wrong = [k for k in expected if k not in state or state[k].shape != expected[k].shape]
    unknown = [k for k in state if k not in expected]
    if wrong or unknown:
        text = f"{source} is not a checkpoint of the config's model."
        if wrong:
            text += f" In the file, {len(wrong)} of the model's {len(expected)} tensors "
            text += f"are missing or have another shape, such as {', '.join(wrong[:3])}."
        if unknown:
            text += f" The model has no tensor for {len(unknown)} tensors of the file, "
            text += f"such as {', '.join(unknown[:3])}."
        shapes = [k for k in wrong if k in state]
        for k in shapes[:1]:
            text += f" The shape of {k} is {tuple(state[k].shape)} in the file, but "
            text += f"{tuple(expected[k].shape)} in the model."
        # Only the heads of a detector depend on the number of classes.
        if shapes and not unknown and all("head" in k for k in wrong):
            text += " So the checkpoint was trained with another number of classes."
        raise StageError(f"{text} Use the config.py in the checkpoint's folder")


def _load_as_data(load: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(load)
    def loader(filename: str, map_location: Any = None) -> dict[str, Any]:
        with _as_data(filename):
            return load(filename, map_location=map_location)

    return loader


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a local checkpoint for MMEngine.

    Do not rename this function: MMEngine logs the part of the name after ``load_from_``.
    """
    return read_checkpoint(filename, map_location)


def load_from_torchvision(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Download weights of torchvision by their name, such as ``torchvision://resnet50``.

    This function replaces MMEngine's loader, which would import torchvision.
    """
    urls = mmengine.load(Path(mmengine.__file__).parent / "hub" / "torchvision_0.12.json")
    weights: dict[str, Any] = load_from_http(urls[filename.split("://")[1]], map_location)
    return weights


CheckpointLoader.register_scheme("", load_from_local, force=True)
for _load, _prefixes in {
    load_from_http: ["http://", "https://"],
    load_from_torchvision: ["torchvision://", "modelzoo://"],
    load_from_openmmlab: ["open-mmlab://", "openmmlab://"],
    load_from_mmcls: ["mmcls://"],
}.items():
    CheckpointLoader.register_scheme(_prefixes, _load_as_data(_load), force=True)
